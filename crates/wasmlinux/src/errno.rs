//! Linux's error numbers, as the guest gives them. The host's own may differ.

/// An error number of the guest's kernel, for example [`Errno::ENOENT`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub u32);

/// Defines the constants and the texts (those of the C library) from one table.
macro_rules! errnos {
    ($($name:ident $number:literal $text:literal;)*) => {
        #[allow(missing_docs, reason = "Linux's names; the texts are what Display prints")]
        impl Errno {
            $(pub const $name: Errno = Errno($number);)*
        }

        impl Errno {
            fn describe(self) -> Option<(&'static str, &'static str)> {
                match self.0 {
                    $($number => Some((stringify!($name), $text)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM 1 "Operation not permitted";
    ENOENT 2 "No such file or directory";
    ESRCH 3 "No such process";
    EINTR 4 "Interrupted system call";
    EIO 5 "I/O error";
    ENXIO 6 "No such device or address";
    E2BIG 7 "Argument list too long";
    ENOEXEC 8 "Exec format error";
    EBADF 9 "Bad file descriptor";
    ECHILD 10 "No child process";
    EAGAIN 11 "Resource temporarily unavailable";
    ENOMEM 12 "Out of memory";
    EACCES 13 "Permission denied";
    EFAULT 14 "Bad address";
    ENOTBLK 15 "Block device required";
    EBUSY 16 "Resource busy";
    EEXIST 17 "File exists";
    EXDEV 18 "Cross-device link";
    ENODEV 19 "No such device";
    ENOTDIR 20 "Not a directory";
    EISDIR 21 "Is a directory";
    EINVAL 22 "Invalid argument";
    ENFILE 23 "Too many open files in system";
    EMFILE 24 "Too many open files";
    ENOTTY 25 "Not a tty";
    ETXTBSY 26 "Text file busy";
    EFBIG 27 "File too large";
    ENOSPC 28 "No space left on device";
    ESPIPE 29 "Invalid seek";
    EROFS 30 "Read-only file system";
    EMLINK 31 "Too many links";
    EPIPE 32 "Broken pipe";
    EDOM 33 "Domain error";
    ERANGE 34 "Result not representable";
    EDEADLK 35 "Resource deadlock would occur";
    ENAMETOOLONG 36 "Filename too long";
    ENOLCK 37 "No locks available";
    ENOSYS 38 "Function not implemented";
    ENOTEMPTY 39 "Directory not empty";
    ELOOP 40 "Symbolic link loop";
    EPROTO 71 "Protocol error";
    EBADMSG 74 "Bad message";
    EOVERFLOW 75 "Value too large for data type";
    EILSEQ 84 "Illegal byte sequence";
    ENOTSOCK 88 "Not a socket";
    EPROTONOSUPPORT 93 "Protocol not supported";
    EOPNOTSUPP 95 "Not supported";
    EADDRINUSE 98 "Address in use";
    ENETUNREACH 101 "Network unreachable";
    ECONNREFUSED 111 "Connection refused";
    ETIMEDOUT 110 "Operation timed out";
    EINPROGRESS 115 "Operation in progress";
    ECANCELED 125 "Operation canceled";
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.describe() {
            Some((_, text)) => f.write_str(text),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl std::fmt::Debug for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.describe() {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl std::error::Error for Errno {}
