//! What an address space says of its mappings, against what the host says.
use super::*;
use crate::limits::{Cost, SPACE_MAPS};
use wasmlinux_devices::GuestMemory;

const SHIFT: u32 = 16;
const PGDIR_SHIFT: u32 = 26;
const PGD: u32 = 0x2_0000;
/// Tables of 4 KiB, each for 64 MiB.
const TABLES: u32 = 0x4_0000;
const FRAMES: u32 = 0x10_0000;
const MEMORY: usize = 64 << 20;

struct Machine {
    physical: Arc<Physical>,
    ledger: Arc<Ledger>,
    seed: u64,
}

impl Machine {
    fn new(seed: u64) -> Machine {
        Machine { physical: Arc::new(Physical::new(MEMORY).unwrap()), ledger: Ledger::new(MEMORY as u64), seed }
    }

    fn random(&mut self, most: u32) -> u32 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.seed >> 33) as u32) % most
    }

    fn space(&self) -> Arc<Space> {
        let charge = self.ledger.charge(Cost { maps: SPACE_MAPS, ..Cost::default() }).unwrap();
        Space::new(self.physical.clone(), Format::new(SHIFT, PGDIR_SHIFT).unwrap(), charge).unwrap()
    }

    /// Sets an entry of the tables, which exist only for the first 1 GiB.
    fn set(&self, va: u32, entry: u32) {
        let (directory, table) = (va >> PGDIR_SHIFT, TABLES + (va >> PGDIR_SHIFT) * 4096);
        self.physical.write(PGD + 4 * directory, &(table | PTE_PRESENT).to_le_bytes()).unwrap();
        self.physical.write(table + 4 * ((va >> SHIFT) & 1023), &(entry).to_le_bytes()).unwrap();
    }

    /// Some neighbours of each other get frames, perhaps neighbours too.
    fn populate(&mut self) -> (u32, u32) {
        let (page, count) = (self.random(1 << 14), 1 + self.random(20));
        let mut frame = FRAMES + (self.random(200) << SHIFT);
        for page in page..page + count {
            if self.random(8) == 0 {
                frame = FRAMES + (self.random(200) << SHIFT);
            }
            let write = if self.random(3) == 0 { 0 } else { PTE_WRITE | PTE_DIRTY };
            self.set(page << SHIFT, frame | PTE_PRESENT | PTE_USER | write);
            frame += 1 << SHIFT;
        }
        (page, count)
    }

    fn clear(&self, page: u32, count: u32) {
        (page..page + count).for_each(|page| self.set(page << SHIFT, 0));
    }
}

/// Mappings that the host has in a space's reservation.
fn maps(space: &Space) -> usize {
    let (start, end) = (space.base as usize, space.base as usize + 2 * SPACE);
    let text = std::fs::read_to_string("/proc/self/maps").unwrap();
    let range = |line: &str| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
    };
    text.lines().filter_map(range).filter(|(from, to)| *from < end && *to > start).count()
}

#[test]
fn no_more_mappings_than_counted() {
    let mut machine = Machine::new(1);
    let space = machine.space();
    space.bind(PGD, None);
    let mut known = vec![(0, 1)];
    for round in 0..1500 {
        let (page, count) = known[machine.random(known.len() as u32) as usize];
        match machine.random(12) {
            0..4 => known.push(machine.populate()),
            4..9 => {
                let at = (page + machine.random(count)) << SHIFT;
                space.map(at, machine.random(2) == 0);
            }
            9 => {
                machine.clear(page, count);
                space.flush(page << SHIFT, (page + count) << SHIFT);
            }
            10 => {
                for page in page..page + count {
                    machine.set(page << SHIFT, FRAMES | PTE_PRESENT | PTE_USER);
                }
                space.protect();
            }
            _ => {
                space.unbind();
                space.bind(PGD, None);
            }
        }
        let (counted, there) = (space.cached() + SPACE_MAPS, maps(&space));
        assert!(there <= counted, "round {round}: {there} mappings, {counted} counted");
        assert!(!machine.ledger.failed());
    }
    space.flush_all();
    assert_eq!(space.cached(), 0);
    assert!(maps(&space) <= SPACE_MAPS);
}

#[test]
fn others_make_room() {
    let mut machine = Machine::new(2);
    // All pages of the first GiB, none beside a frame's neighbour.
    for page in 0..1 << 14 {
        machine.set(page << SHIFT, (FRAMES + ((page * 7 % 200) << SHIFT)) | PTE_PRESENT | PTE_USER);
    }
    let spaces: Vec<_> = (0..8).map(|_| machine.space()).collect();
    for (index, space) in spaces.iter().enumerate() {
        space.bind(PGD + index as u32 * 0x1000, None);
        for directory in 0..16 {
            let entry = machine.physical.read_u32(PGD + 4 * directory).unwrap();
            machine.physical.write(PGD + index as u32 * 0x1000 + 4 * directory, &(entry).to_le_bytes()).unwrap();
        }
    }
    for _ in 0..20_000 {
        let space = &spaces[machine.random(8) as usize];
        let page = machine.random(1 << 13) * 2;
        assert_eq!(space.map(page << SHIFT, false), Mapped::Yes);
    }
    assert!(spaces.iter().map(|space| space.cached()).sum::<usize>() <= MEMORY >> 12);
    assert!(machine.ledger.make_room(SPLIT, None) && !machine.ledger.failed());
}

/// What the host lets a program do with each page of the first GiB: read it, and write it.
fn access(space: &Space) -> Vec<(bool, bool)> {
    let mut pages = vec![(false, false); 1 << 14];
    let base = space.base as usize;
    for line in std::fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut words = line.split(' ');
        let (from, to) = words.next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| usize::from_str_radix(at, 16).unwrap().saturating_sub(base) >> SHIFT);
        let rights = words.next().unwrap();
        if let Some(pages) = pages.get_mut(from..to.min(1 << 14)) {
            pages.fill((rights.contains('r'), rights.contains('w')));
        }
    }
    pages
}

/// The page tables as they are, against what a program can reach: by a walk of this test's own.
struct Model(Vec<u32>);

impl Model {
    fn allows(&self, page: usize) -> Option<(u32, bool)> {
        let entry = self.0[page];
        let wanted = PTE_PRESENT | PTE_USER;
        let write = PTE_WRITE | PTE_DIRTY;
        (entry & wanted == wanted).then_some((entry & !0xffff, entry & write == write))
    }

    /// Nothing can be reached that the tables do not allow, and what can be is the right frame.
    fn holds(&self, space: &Space, when: &str) {
        for (page, (read, write)) in access(space).into_iter().enumerate() {
            let allowed = self.allows(page);
            assert!(!read || allowed.is_some(), "{when}: page {page:#x} can be read");
            assert!(!write || allowed.is_some_and(|(_, write)| write), "{when}: page {page:#x} can be written");
            if let (true, Some((frame, _))) = (read, allowed) {
                // SAFETY: readable, and nobody changes it now.
                let there = unsafe { space.base().add(page << SHIFT).cast::<u32>().read_volatile() };
                assert_eq!(there, frame, "{when}: page {page:#x}");
            }
        }
    }
}

/// Page walks, flushes, protection, hidden pages, and address ranges that are used again.
#[test]
fn a_program_reaches_what_the_tables_allow() {
    let mut machine = Machine::new(3);
    for frame in 0..256u32 {
        let at = FRAMES + (frame << SHIFT);
        machine.physical.write(at, &at.to_le_bytes()).unwrap();
    }
    let space = machine.space();
    space.bind(PGD, None);
    let mut model = Model(vec![0; 1 << 14]);
    let mut known = vec![(1, 4)];
    for round in 0..1200 {
        let (page, count) = known[machine.random(known.len() as u32) as usize];
        let range = page as usize..((page + count) as usize).min(1 << 14);
        let flush = |space: &Space| space.flush(page << SHIFT, (range.end as u32) << SHIFT);
        let what = machine.random(14);
        match what {
            0..3 => {
                // The same pages on other frames, or without some right.
                let (mut frame, lacks) = (FRAMES + (machine.random(200) << SHIFT), machine.random(6));
                for page in range.clone() {
                    let rights =
                        [PTE_WRITE, PTE_DIRTY, PTE_USER, PTE_PRESENT].get(lacks as usize).copied().unwrap_or(0);
                    model.0[page] = frame | (PTE_PRESENT | PTE_USER | PTE_WRITE | PTE_DIRTY) & !rights;
                    machine.set((page as u32) << SHIFT, model.0[page]);
                    frame += 1 << SHIFT;
                }
                flush(&space);
            }
            3 => known.push((machine.random((1 << 14) - 24), 1 + machine.random(20))),
            4 => {
                range.clone().for_each(|page| model.0[page] = 0);
                machine.clear(page, range.len() as u32);
                flush(&space);
            }
            5 => {
                for page in range.clone().filter(|page| model.allows(*page).is_some()).collect::<Vec<_>>() {
                    model.0[page] &= !PTE_DIRTY;
                    machine.set((page as u32) << SHIFT, model.0[page]);
                }
                space.protect();
            }
            6 => {
                // Another one's, whose tables differ; nobody flushes.
                space.unbind();
                let frame = FRAMES + (machine.random(200) << SHIFT);
                if machine.random(2) == 0 {
                    model.0[page as usize] = frame | PTE_PRESENT | PTE_USER;
                    machine.set(page << SHIFT, model.0[page as usize]);
                }
                space.bind(PGD, None);
            }
            _ => {
                let (at, write) = (page + machine.random(range.len() as u32), machine.random(2) == 0);
                let allowed = model.allows(at as usize).is_some_and(|(_, writable)| writable || !write);
                let mapped = space.map(at << SHIFT, write);
                assert_eq!(mapped, if allowed { Mapped::Yes } else { Mapped::Not }, "round {round}");
                let (read, writable) = access(&space)[at as usize];
                assert!(!allowed || read && (writable || !write), "round {round}: page {at:#x} was mapped");
            }
        }
        model.holds(&space, &format!("round {round}, {what}"));
    }
}
