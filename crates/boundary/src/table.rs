//! A table of constants or fields that is Rust and C at once.

/// One constant: its C name, its value, what it is.
pub(crate) type Constant = (&'static str, i64, &'static str);

/// Defines public Rust constants and a table of them for the C header.
macro_rules! constants {
    ($table:ident: $($(#[doc = $doc:literal])+ $name:ident: $ty:ty = $value:expr;)*) => {
        $($(#[doc = $doc])+ pub const $name: $ty = $value;)*
        pub(crate) const $table: &[$crate::table::Constant] = &[$((stringify!($name), $value as i64, concat!($($doc),+))),*];
    };
}
pub(crate) use constants;

/// A C header: a guard, the constants with a prefix, then `rest`.
pub(crate) fn header(guard: &str, prefix: &str, constants: &[&[Constant]], rest: &str) -> String {
    let mut text = format!(
        "/* SPDX-License-Identifier: GPL-2.0 OR MIT */\n\
         /* Written by crates/boundary: do not edit. */\n\
         #ifndef {guard}\n#define {guard}\n"
    );
    for table in constants {
        text.push('\n');
        for (name, value, doc) in *table {
            text.push_str(&format!("/*{doc} */\n#define {prefix}{name} ({value})\n"));
        }
    }
    text.push_str(rest);
    text.push_str("#endif\n");
    text
}
