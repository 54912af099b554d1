//! What is soldered on: memory with the kernel in it, interrupt lines, as a boot loader leaves
//! them.
use crate::{
    Config, Error, KernelError,
    engine::kernel_code::KernelCode,
    host::process,
    interrupt::Interrupts,
    limits::{Charge, Cost, Ledger, SPACE_ADDRESS, SPACE_MAPS},
    mmu::physical::Physical,
    mmu::space::Format,
    reports::Reports,
};
use std::sync::Arc;
use wasmlinux_boundary as boundary;
use wasmlinux_boundary::{WASM_PAGE, boot_info, kernel as names, program::HEAP_BASE};
use wasmlinux_devices::GuestMemory;
use wasmtime::Module;

/// Memory that a kernel needs beside its image and the initramfs (twice: packed and unpacked) to
/// reach `/init`, in bytes.
const MEMORY_SPARE: u64 = 24 << 20;

/// A kernel's first tables lie below the initramfs: about this share of memory.
const EARLY_SHARE: u64 = 512;
/// Bytes behind the kernel's image that it uses first.
const IMAGE_AFTER: u64 = 2 << 20;

/// What is soldered on: memory with the kernel in it, as a boot loader leaves it.
pub(crate) struct Board {
    pub(crate) ledger: Arc<Ledger>,
    /// Of physical memory.
    _reserved: Charge,
    pub(crate) physical: Arc<Physical>,
    pub(crate) format: Format,
    pub(crate) kernel: Module,
    pub(crate) oops_buffer: u32,
    interrupts: Arc<Interrupts>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) init_task: u32,
    pub(crate) init_stack_top: u32,
}

impl Board {
    /// As a boot loader leaves it.
    pub(crate) fn new(config: &Config) -> Result<Board, Error> {
        let guest = &config.guest;
        let heap_base = u64::from(guest.symbol(HEAP_BASE)?);
        let initramfs: u64 = config.initramfs.iter().map(|part| part.len().next_multiple_of(4) as u64).sum();
        let min = heap_base + 2 * initramfs + MEMORY_SPARE;
        let size = config.memory - config.memory % u64::from(WASM_PAGE);
        if size < min || size > Physical::MAX {
            return Err(Error::MemorySize { size: config.memory, min, max: Physical::MAX });
        }
        if config.cmdline.len() >= boundary::CMDLINE_SIZE as usize {
            return Err(Error::CommandLine(config.cmdline.len()));
        }

        let ledger = Ledger::new(size);
        let reserved = ledger.charge_anyway(Cost { maps: SPACE_MAPS, address: SPACE_ADDRESS, ..Cost::default() });
        let physical = Arc::new(Physical::new(size as usize)?);
        // At the very end of memory; each part aligned to 4, as cpio wants it.
        let initrd_start = (size - initramfs) & !u64::from(WASM_PAGE - 1);
        let below = initrd_start.saturating_sub(size / EARLY_SHARE);
        physical.bring_in(vec![0..(heap_base + IMAGE_AFTER) as usize, below as usize..size as usize]);
        let kernel = guest.kernel()?;
        let put = |at: u32, bytes: &[u8]| {
            let put = physical.write(at, bytes);
            put.ok_or(KernelError::Data(at))
        };
        // .bss is clear because the memory is new.
        for (at, bytes) in guest.kernel_data() {
            put(at, bytes)?;
        }
        let info = guest.symbol(boundary::BOOT_INFO)?;
        let oops_buffer = guest.symbol(names::OOPS_BUFFER)?;
        put(oops_buffer, &[0; boundary::OOPS_BUFFER as usize])?;
        let code = KernelCode::new(&kernel)?;
        let interrupts = Arc::new(Interrupts::new(physical.clone(), info, code)?);
        let read = |offset| physical.read_u32(info + offset).unwrap_or(0);
        let version = read(boot_info::VERSION);
        if version != boundary::MACHINE_VERSION {
            return Err(KernelError::Version { kernel: version, machine: boundary::MACHINE_VERSION }.into());
        }
        let format = Format::new(read(boot_info::PAGE_SHIFT), read(boot_info::PGDIR_SHIFT));
        let format = format.ok_or(KernelError::PageTables)?;

        let word = |offset, value: u32| put(info + offset, &value.to_le_bytes());
        word(boot_info::MEMORY_SIZE, size as u32)?;
        put(info + boot_info::CMDLINE, config.cmdline.as_bytes())?;
        let mut seed = [0; boundary::SEED_SIZE as usize];
        process::random(&mut seed).map_err(Error::HostMemory)?;
        put(info + boot_info::SEED, &seed)?;
        if initramfs != 0 {
            let mut at = initrd_start as u32;
            for part in &config.initramfs {
                put(at, part)?;
                at += part.len().next_multiple_of(4) as u32;
            }
            word(boot_info::INITRD_START, initrd_start as u32)?;
            word(boot_info::INITRD_SIZE, initramfs as u32)?;
        }
        let (init_task, init_stack_top) = (guest.symbol(names::INIT_TASK)?, guest.symbol(names::INIT_STACK_TOP)?);
        Ok(Board {
            ledger,
            _reserved: reserved,
            physical,
            format,
            kernel,
            oops_buffer,
            interrupts,
            reports: Arc::default(),
            init_task,
            init_stack_top,
        })
    }

    pub(crate) fn interrupts(&self) -> Arc<Interrupts> {
        self.interrupts.clone()
    }

    pub(crate) fn unplugged(&self) -> bool {
        self.interrupts.unplugged()
    }
}
