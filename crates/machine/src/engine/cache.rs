//! Compiled code on the host's disk: one file a program and engine, in a directory that only this
//! user can write.
//!
//! A file is the engine's own of a module, which is mapped as it lies, and a trailer that tells
//! damage: a disk that was full, a machine that lost power, a bad sector. It is no protection
//! against who can write the directory, who can do anything in this process.
use crate::{engine, engine::code::Key, host::process};
use std::{
    fs::{self, DirEntry, File, Metadata, OpenOptions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use wasmtime::Module;

/// Bytes that all files together may have.
const BYTES_MAX: u64 = 1 << 30;
/// Files, at most.
const FILES_MAX: usize = 1000;
/// A program whose code has more bytes is compiled each time: it would throw out too many others.
const FILE_MAX: u64 = BYTES_MAX / 4;
/// How old a file of a writer may be that has not come to its end, before it counts as left behind.
const UNFINISHED: Duration = Duration::from_secs(3600);
/// The time of a file's last use is kept as exactly as this.
const TOUCHED: Duration = Duration::from_secs(60);

/// Begins a trailer: the form of these files.
const MAGIC: [u8; 8] = *b"wlcode01";
/// Bytes of a trailer: magic, the bytes before it, their CRC-32 and that of what the file is
/// called.
const TRAILER: usize = 24;
/// Characters of a file's name: key, engine, and of a file that is being written a random number,
/// all in hexadecimal.
const NAME: usize = 64 + 1 + 16;
const NAME_UNFINISHED: usize = NAME + 1 + 16;

/// A directory of compiled code.
pub(crate) struct Cache {
    directory: PathBuf,
    /// Tells engines apart whose code is not exchangeable.
    engine: u64,
}

impl Cache {
    /// Makes the directory if absent. It must belong to this user, and nobody else may write it.
    pub(crate) fn open(directory: &Path) -> io::Result<Cache> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let metadata = fs::symlink_metadata(directory)?;
        if !metadata.is_dir() || !is_ours(&metadata) {
            return Err(io::Error::other("it is not a directory that only this user can write (chmod 700)"));
        }
        let mut hasher = DefaultHasher::new();
        // Files of another form have other names: earlier versions use the same directory.
        (MAGIC, engine::identity().map_err(io::Error::other)?).hash(&mut hasher);
        Ok(Cache { directory: directory.into(), engine: hasher.finish() })
    }

    /// As [`Cache::open`]; without a directory that it could have, nothing is kept.
    pub(crate) fn open_or_warn(directory: &Path) -> Option<Cache> {
        Cache::open(directory)
            .inspect_err(|error| tracing::warn!("compiled code is not kept in {}: {error}", directory.display()))
            .ok()
    }

    fn name(&self, key: &Key) -> String {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}-{:016x}", self.engine)
    }

    /// The program's code, if it is there and whole. What is damaged is removed.
    pub(crate) fn get(&self, key: &Key) -> Option<Module> {
        self.find(key, |file| {
            let engine = engine::get().map_err(io::Error::other)?;
            // SAFETY: as put() has written it, by its trailer, to a directory that only this user
            // can write, by open(), and where files are never written in place.
            unsafe { Module::deserialize_open_file(engine, file) }.map_err(io::Error::other)
        })
    }

    /// The file with the program's code, if it is there and whole.
    pub(crate) fn open_kept(&self, key: &Key) -> Option<File> {
        self.find(key, Ok)
    }

    fn find<T>(&self, key: &Key, load: impl FnOnce(File) -> io::Result<T>) -> Option<T> {
        let name = self.name(key);
        let path = self.directory.join(&name);
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path).ok()?;
        let module = check(&file, &name).and_then(|metadata| {
            if metadata.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age > TOUCHED)) {
                // The oldest are thrown out first.
                let _ = file.set_modified(SystemTime::now());
            }
            load(file)
        });
        match module {
            Ok(module) => Some(module),
            Err(error) => {
                tracing::warn!("{}: {error}; the program is compiled anew", path.display());
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps a program's code, and throws out the oldest where there is no room.
    pub(crate) fn put(&self, key: &Key, code: &[u8]) -> io::Result<()> {
        if code.len() as u64 > FILE_MAX {
            return Ok(());
        }
        self.make_room(code.len() as u64)?;
        let name = self.name(key);
        let mut random = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let unfinished = self.directory.join(format!("{name}.{:016x}", u64::from_le_bytes(random)));
        let mut out = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&unfinished)?;
        // Another process may do the same now: one of the two is there in the end, whole.
        let written = out
            .write_all(code)
            .and_then(|()| out.write_all(&trailer(code.len() as u64, crc32fast::hash(code), &name)))
            .and_then(|()| fs::rename(&unfinished, self.directory.join(&name)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Removes files until one of `bytes` more is within the limits, the one that was used longest
    /// ago first. Others' are left alone.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let now = SystemTime::now();
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let Some(unfinished) = is_code(&entry) else { continue };
            let Ok(metadata) = entry.metadata() else { continue };
            let Ok(used) = metadata.modified() else { continue };
            if unfinished && now.duration_since(used).is_ok_and(|age| age > UNFINISHED) {
                let _ = fs::remove_file(entry.path());
            } else {
                files.push((used, metadata.len(), entry.path()));
            }
        }
        files.sort_unstable();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum::<u64>() + bytes + TRAILER as u64;
        let mut count = files.len() + 1;
        for (_, size, path) in files {
            if total <= BYTES_MAX && count <= FILES_MAX {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => (total, count) = (total - size, count - 1),
            }
        }
        Ok(())
    }
}

/// It belongs to this user, and nobody else may write it.
fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == process::user() && metadata.mode() & 0o022 == 0
}

/// Whether it is a file of ours by its name, and then, whether it is one that is being written.
fn is_code(entry: &DirEntry) -> Option<bool> {
    let name = entry.file_name();
    let name = name.to_str().filter(|name| entry.file_type().is_ok_and(|kind| kind.is_file()) && name.is_ascii())?;
    // The form before this one ended in two decimal numbers.
    let unfinished = name.len() > NAME;
    let ours = name.len() >= NAME
        && name.len() <= NAME_UNFINISHED.max(NAME + 1 + 21)
        && name.bytes().enumerate().all(|(at, byte)| match at {
            64 => byte == b'-',
            NAME => byte == b'.',
            _ => byte.is_ascii_hexdigit() || at > NAME && byte == b'-',
        });
    ours.then_some(unfinished)
}

fn trailer(length: u64, sum: u32, name: &str) -> [u8; TRAILER] {
    let mut trailer = [0; TRAILER];
    trailer[..8].copy_from_slice(&MAGIC);
    trailer[8..16].copy_from_slice(&length.to_le_bytes());
    trailer[16..20].copy_from_slice(&sum.to_le_bytes());
    trailer[20..].copy_from_slice(&crc32fast::hash(name.as_bytes()).to_le_bytes());
    trailer
}

/// Reads a file from its begin to its end; an error unless it is as it was written.
fn check(file: &File, name: &str) -> io::Result<Metadata> {
    let metadata = file.metadata()?;
    let length = metadata.len().saturating_sub(TRAILER as u64);
    if !metadata.is_file() || !is_ours(&metadata) || length == 0 || length > FILE_MAX {
        return Err(io::Error::other("it is no compiled code of this user"));
    }
    let mut buffer = vec![0; 256 << 10];
    let (mut hasher, mut at) = (crc32fast::Hasher::new(), 0);
    while at < length {
        let part = &mut buffer[..(length - at).min(256 << 10) as usize];
        file.read_exact_at(part, at)?;
        hasher.update(part);
        at += part.len() as u64;
    }
    let mut end = [0; TRAILER];
    file.read_exact_at(&mut end, length)?;
    if end == trailer(length, hasher.finalize(), name) { Ok(metadata) } else { Err(io::Error::other("it is damaged")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache in a directory that is removed when the test ends.
    struct Directory(Cache);

    impl Directory {
        fn new(name: &str) -> Directory {
            let directory = std::env::temp_dir().join(format!("wasmlinux-cache-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&directory);
            Directory(Cache::open(&directory).unwrap())
        }

        /// A file with this name and size (which takes no room), used so many seconds ago.
        fn file(&self, name: &str, size: u64, age: u64) {
            let file = File::create(self.0.directory.join(name)).unwrap();
            file.set_len(size).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }

        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(&self.0.directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            names.collect()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.directory);
        }
    }

    fn code() -> Vec<u8> {
        engine::get().unwrap().precompile_module(b"\0asm\x01\0\0\0").unwrap()
    }

    #[test]
    fn what_is_kept_is_found() {
        let directory = Directory::new("kept");
        assert!(directory.0.get(&[1; 32]).is_none());
        directory.0.put(&[1; 32], &code()).unwrap();
        assert!(directory.0.get(&[1; 32]).is_some() && directory.0.get(&[2; 32]).is_none());
        assert_eq!(directory.names(), [directory.0.name(&[1; 32])]);
    }

    #[test]
    fn what_is_damaged_is_removed() {
        let directory = Directory::new("damaged");
        let (key, whole) = ([1; 32], code());
        let path = directory.0.directory.join(directory.0.name(&key));
        let damages: [fn(&mut Vec<u8>); 7] = [
            |bytes| bytes[5000] ^= 1,
            |bytes| *bytes.last_mut().unwrap() ^= 0x80,
            |bytes| bytes.truncate(bytes.len() - 1),
            |bytes| bytes.truncate(4096),
            |bytes| bytes.clear(),
            |bytes| bytes.fill(0),
            |bytes| bytes.push(0),
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            directory.0.put(&key, &whole).unwrap();
            assert!(directory.0.get(&key).is_some());
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            assert!(directory.0.get(&key).is_none(), "damage {number}");
            assert!(!path.exists(), "damage {number}");
        }
        // Whole, but of another program.
        directory.0.put(&[2; 32], &whole).unwrap();
        fs::rename(directory.0.directory.join(directory.0.name(&[2; 32])), &path).unwrap();
        assert!(directory.0.get(&key).is_none());
        // A link to what is whole; a pipe that nobody writes.
        directory.0.put(&[2; 32], &whole).unwrap();
        std::os::unix::fs::symlink(directory.0.name(&[2; 32]), &path).unwrap();
        assert!(directory.0.get(&key).is_none());
    }

    #[test]
    fn the_oldest_go_first() {
        let directory = Directory::new("bounded");
        for age in 0..FILES_MAX as u64 + 20 {
            directory.file(&format!("{age:064x}-{:016x}", age % 3), 10, 1000 + age);
        }
        directory.file("nodes", 10, 1_000_000);
        fs::create_dir(directory.0.directory.join("locks")).unwrap();
        directory.file(&format!("{:064x}-{:016x}.{:016x}", 1, 1, 1), 10, 2 * UNFINISHED.as_secs());
        directory.file(&format!("{:064x}-{:016x}.{:016x}", 1, 1, 2), 10, 1);
        directory.0.put(&[1; 32], &code()).unwrap();
        let names = directory.names();
        // One that is being written counts; others' files stay and do not.
        assert_eq!(names.len(), FILES_MAX + 2);
        let old = format!("{:064x}-{:016x}", FILES_MAX as u64 - 3, (FILES_MAX as u64 - 3) % 3);
        let gone = format!("{:064x}-{:016x}", FILES_MAX as u64 - 2, (FILES_MAX as u64 - 2) % 3);
        assert!(names.contains(&old) && !names.contains(&gone));
        assert!(names.iter().any(|n| n == "nodes") && names.iter().any(|n| n == "locks"));
        assert!(names.contains(&directory.0.name(&[1; 32])));
    }

    #[test]
    fn their_bytes_are_bounded() {
        let directory = Directory::new("bytes");
        for age in 0..5 {
            directory.file(&format!("{age:064x}-{:016x}", 0), FILE_MAX, 1000 + age);
        }
        directory.0.put(&[1; 32], &code()).unwrap();
        assert_eq!(directory.names().len(), 4);
    }
}
