//! What came from where: offsets in a program's file, as debugging information has them, and in the
//! module that the engine gets, as its own tables have them.
use std::ops::Range;

/// Bytes of LEB128 in which a module tells a size.
const SIZE_MAX: usize = 5;

/// Which offsets of a file and of the module that was made of it belong together.
///
/// An instruction that was replaced belongs to all that is in its place: any offset within one is
/// translated to the first byte of the other. What is on one side only (data, debugging
/// information; imports and exports, which are written anew) belongs to nothing.
///
/// It takes 12 bytes for each stretch of bytes that was copied and for each instruction that was
/// replaced, and a translation is a binary search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffsetMap {
    /// Sorted both ways.
    runs: Vec<Run>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    original: u32,
    engine: u32,
    /// Bytes that were copied; 0: bytes that were replaced, up to the next run.
    length: u32,
}

impl Run {
    /// The offset on one side for an offset on the other, where the run begins at `from` and `to`.
    fn translate(&self, offset: u32, from: u32, to: u32) -> Option<usize> {
        let within = offset - from;
        match self.length {
            0 => Some(to as usize),
            length if within < length => Some((to + within) as usize),
            _ => None,
        }
    }
}

impl OffsetMap {
    /// Where in the engine's module that is which is at an offset of the file.
    pub fn to_engine(&self, original: usize) -> Option<usize> {
        let offset = u32::try_from(original).ok()?;
        let next = self.runs.partition_point(|run| run.original <= offset);
        let run = self.runs.get(next.checked_sub(1)?)?;
        run.translate(offset, run.original, run.engine)
    }

    /// Where in the file that was which is at an offset of the engine's module.
    pub fn to_original(&self, engine: usize) -> Option<usize> {
        let offset = u32::try_from(engine).ok()?;
        let next = self.runs.partition_point(|run| run.engine <= offset);
        let run = self.runs.get(next.checked_sub(1)?)?;
        run.translate(offset, run.engine, run.original)
    }

    /// How many stretches there are, of 12 bytes each in memory.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Bytes of the file were copied to an offset of the module. All calls come in the order of
    /// both.
    pub(crate) fn copied(&mut self, original: Range<usize>, engine: usize) {
        if original.is_empty() {
            return;
        }
        if let Some(last) = self.runs.last_mut().filter(|last| last.length > 0) {
            // Between two functions is the size of the second: where it takes as many bytes on both
            // sides it belongs together too.
            let (end, engine_end) = ((last.original + last.length) as usize, (last.engine + last.length) as usize);
            let (gap, engine_gap) = (original.start - end, engine - engine_end);
            if gap == engine_gap && gap <= SIZE_MAX {
                last.length = (original.end - last.original as usize) as u32;
                return;
            }
        }
        self.push(original.start, engine, original.len());
    }

    /// An instruction at an offset of the file was replaced by what is at an offset of the module.
    /// Both go on to where the next call begins.
    pub(crate) fn replaced(&mut self, original: usize, engine: usize) {
        self.push(original, engine, 0);
    }

    /// Adds what came from where in a section, whose content is at an offset of the module.
    pub(crate) fn append(&mut self, section: &OffsetMap, engine: usize) {
        for run in &section.runs {
            match run.length {
                0 => self.replaced(run.original as usize, engine + run.engine as usize),
                length => {
                    let original = run.original as usize;
                    self.copied(original..original + length as usize, engine + run.engine as usize);
                }
            }
        }
    }

    /// Files have less than 4 GiB (`program.rs`), and what is made of them too.
    fn push(&mut self, original: usize, engine: usize, length: usize) {
        self.runs.push(Run { original: original as u32, engine: engine as u32, length: length as u32 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten bytes from 100 at 50; a replaced instruction of 2 bytes, by 7; twenty bytes; then, after
    /// something that was left out on both sides, five.
    fn map() -> OffsetMap {
        let mut map = OffsetMap::default();
        map.copied(100..110, 50);
        map.replaced(110, 60);
        map.copied(112..132, 67);
        map.copied(200..205, 187);
        map
    }

    #[test]
    fn copied_bytes_are_translated_both_ways() {
        let map = map();
        for (original, engine) in [(100, 50), (109, 59), (112, 67), (131, 86), (200, 187), (204, 191)] {
            assert_eq!(map.to_engine(original), Some(engine));
            assert_eq!(map.to_original(engine), Some(original));
        }
    }

    #[test]
    fn what_was_replaced_belongs_to_all_of_its_place() {
        let map = map();
        assert_eq!([110, 111].map(|original| map.to_engine(original)), [Some(60); 2]);
        assert!((60..67).all(|engine| map.to_original(engine) == Some(110)));
    }

    #[test]
    fn what_is_on_one_side_only_is_nowhere() {
        let map = map();
        assert_eq!([0, 99, 132, 199, 205, usize::MAX].map(|original| map.to_engine(original)), [None; 6]);
        assert_eq!([0, 49, 87, 186, 192, usize::MAX].map(|engine| map.to_original(engine)), [None; 6]);
        assert_eq!(OffsetMap::default().to_engine(0), None);
    }

    #[test]
    fn stretches_that_follow_each_other_are_one() {
        let mut map = OffsetMap::default();
        map.copied(10..20, 5);
        map.copied(20..30, 15);
        map.copied(30..30, 25);
        // A size between them, of two bytes on both sides, then one that is shorter on one.
        map.copied(32..40, 27);
        assert_eq!(map.runs(), 1);
        map.copied(45..50, 36);
        assert_eq!(map.runs(), 2);
        assert_eq!(map.to_engine(31), Some(26));
        assert_eq!(map.to_engine(41), None);
    }

    #[test]
    fn sections_are_appended() {
        let mut whole = OffsetMap::default();
        whole.append(&map(), 1000);
        assert_eq!(whole.to_engine(111), Some(1060));
        assert_eq!(whole.to_original(1191), Some(204));
    }
}
