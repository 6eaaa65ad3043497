//! The part file: rows of a table in the form in which trainers read them, used where it is mapped.
//!
//! Layout, all numbers little-endian: 8 bytes `TWPART01`; 8 bytes, the length of the head; the head, which is postcard: the
//! kind of the part, a header that this kind defines, and for each section its name, its first byte and its number of
//! bytes; then the sections. A section starts at a multiple of 64 bytes, a cache line, from the start of the file. What is
//! between is zero. Whoever reads a part takes nothing for granted: every length and range is checked.

use crate::mapped::{Mapped, Plain, bytes_of};
use crate::{Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;
use tilewise_kernels::tree::{Node, Shared};

const MAGIC: &[u8] = b"TWPART01";
/// Where sections start: at multiples of a cache line.
const ALIGNED: usize = 64;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    kind: String,
    header: Vec<u8>,
    sections: Vec<Section>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Section {
    name: String,
    /// From the end of the head.
    start: u64,
    bytes: u64,
}

/// A part that is read. A clone is of the same bytes.
#[derive(Clone, Debug)]
pub struct Part {
    head: Head,
    sections: Mapped,
}

fn bad(what: impl Into<String>) -> Error {
    Error::Data { file: "<part file>".into(), line: None, column: None, what: what.into() }
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGNED)
}

/// Writes a part.
///
/// # Errors
/// When `to` fails.
pub fn write<H: Serialize>(
    to: &mut impl Write,
    kind: &str,
    header: &H,
    sections: &[(&str, &[u8])],
) -> Result<()> {
    let wire = |e: postcard::Error| bad(format!("its head cannot be written: {e}"));
    let io = |e| Error::io("<part file>", e);
    let mut start = 0;
    let place = |(name, bytes): &(&str, &[u8])| {
        let section = Section { name: (*name).to_owned(), start: start as u64, bytes: bytes.len() as u64 };
        start += aligned(bytes.len());
        section
    };
    let sections_of_head = sections.iter().map(place).collect();
    let header = postcard::to_stdvec(header).map_err(wire)?;
    let head = Head { kind: kind.to_owned(), header, sections: sections_of_head };
    let head = postcard::to_stdvec(&head).map_err(wire)?;
    let mut put = |bytes: &[u8]| {
        to.write_all(bytes)?;
        to.write_all(&[0; ALIGNED][..aligned(bytes.len()) - bytes.len()])
    };
    let front = [MAGIC, &(head.len() as u64).to_le_bytes(), &head].concat();
    put(&front).map_err(io)?;
    sections.iter().try_for_each(|(_, bytes)| put(bytes)).map_err(io)
}

impl Part {
    /// Reads the head of a part. O(1) besides.
    ///
    /// # Errors
    /// When it is not one, or a section is not where the head says.
    pub fn new(file: &Mapped) -> Result<Self> {
        const FRONT: usize = MAGIC.len() + 8;
        let (Some(MAGIC), Some(length)) = (file.get(..8), file.get(8..FRONT)) else {
            return Err(bad("is not one: it does not start with TWPART01"));
        };
        let length = length.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let end = usize::try_from(length).ok().and_then(|length| length.checked_add(FRONT));
        let head = end.and_then(|end| file.get(FRONT..end));
        let head = head.ok_or_else(|| bad(format!("has a head of {length} bytes that is not there")))?;
        let sections = aligned(head.len() + FRONT);
        let head: Head = postcard::from_bytes(head).map_err(|e| bad(format!("has no valid head: {e}")))?;
        let sections = file.part(sections..file.len()).ok_or_else(|| bad("ends in its head"))?;
        let part = Self { head, sections };
        part.head.sections.iter().try_for_each(|section| part.section(&section.name).map(|_| ()))?;
        Ok(part)
    }

    /// The header, if the part is of this kind.
    ///
    /// # Errors
    /// When it is not.
    pub fn header<H: DeserializeOwned>(&self, kind: &str) -> Result<H> {
        if self.head.kind != kind {
            return Err(bad(format!("is of kind {:?}; {kind:?} is needed", self.head.kind)));
        }
        postcard::from_bytes(&self.head.header).map_err(|e| bad(format!("has no valid header: {e}")))
    }

    /// Whether it has such a section.
    pub fn has(&self, name: &str) -> bool {
        self.head.sections.iter().any(|section| section.name == name)
    }

    /// A section, where it lies.
    ///
    /// # Errors
    /// When there is none.
    pub fn section(&self, name: &str) -> Result<Mapped> {
        let section = self.head.sections.iter().find(|section| section.name == name);
        let section = section.ok_or_else(|| bad(format!("has no section {name:?}")))?;
        let end = section.start.checked_add(section.bytes).and_then(|end| usize::try_from(end).ok());
        end.and_then(|end| self.sections.part(section.start as usize..end))
            .ok_or_else(|| bad(format!("ends before its section {name:?} does")))
    }

    /// A section of such numbers, copied.
    ///
    /// # Errors
    /// When there is none, or the last number is not whole.
    pub fn numbers<N: Number>(&self, name: &str) -> Result<Vec<N>> {
        let end = self.section(name)?.len() / size_of::<N>();
        if !self.section(name)?.len().is_multiple_of(size_of::<N>()) {
            return Err(bad(format!("has a section {name:?} whose last number is cut off")));
        }
        self.numbers_of(name, 0..end)
    }

    /// A section of such numbers, where it lies, or copied on machines that keep them the other way round.
    ///
    /// # Errors
    /// As [`Part::numbers`].
    pub fn shared<N: Number>(&self, name: &str) -> Result<Shared<N>> {
        match self.section(name)?.numbers::<N>() {
            Some(numbers) => Ok(Shared::new(numbers)),
            None => Ok(Shared::new(self.numbers::<N>(name)?)),
        }
    }

    /// The numbers of a section at these places, copied.
    ///
    /// # Errors
    /// When there is none, or it has fewer.
    pub fn numbers_of<N: Number>(&self, name: &str, places: Range<usize>) -> Result<Vec<N>> {
        let section = self.section(name)?;
        let of = |place: usize| place.checked_mul(size_of::<N>());
        let bytes = of(places.start).zip(of(places.end)).and_then(|(start, end)| section.get(start..end));
        let bytes = bytes.ok_or_else(|| bad(format!("has no numbers {places:?} in section {name:?}")))?;
        Ok(bytes.chunks_exact(size_of::<N>()).map(N::read).collect())
    }
}

/// Numbers of a section.
pub trait Number: Plain {
    /// One of them, from as many bytes as it has.
    fn read(bytes: &[u8]) -> Self;
    /// The bytes of all.
    fn bytes(all: &[Self]) -> Vec<u8>;
    /// As [`bytes`](Self::bytes), where they lie if the machine keeps numbers as files do.
    fn lying(all: &[Self]) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") { bytes_of(all).into() } else { Self::bytes(all).into() }
    }
}

macro_rules! numbers {
    ($($number:ty),*) => { $(
        impl Number for $number {
            fn read(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<Self>()];
                own.iter_mut().zip(bytes).for_each(|(own, byte)| *own = *byte);
                Self::from_le_bytes(own)
            }
            fn bytes(all: &[Self]) -> Vec<u8> {
                all.iter().flat_map(|number| number.to_le_bytes()).collect()
            }
        }
    )* };
}
numbers!(u8, u16, u32, u64, f32, f64);

impl Number for Node {
    fn read(bytes: &[u8]) -> Self {
        let (first, second) = bytes.split_at(8);
        Self::of_words([u64::read(first), u64::read(second)])
    }
    fn bytes(all: &[Self]) -> Vec<u8> {
        all.iter().flat_map(|node| u64::bytes(&node.words())).collect()
    }
}

impl Number for [u64; 4] {
    fn read(bytes: &[u8]) -> Self {
        std::array::from_fn(|word| u64::read(&bytes[8 * word..]))
    }
    fn bytes(all: &[Self]) -> Vec<u8> {
        all.iter().flat_map(|words| u64::bytes(words)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::SharedFile;

    fn part(bytes: &[u8]) -> Result<Part> {
        let file = SharedFile::new(|to| to.write_all(bytes).map_err(|e| Error::io("", e)))?;
        Part::new(&file.map()?)
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        let numbers = f64::bytes(&[0.5, f64::NEG_INFINITY]);
        let sections: [(&str, &[u8]); 3] = [("a", &[7; 65]), ("none", &[]), ("numbers", &numbers)];
        write(&mut bytes, "test", &(3_u64, "x"), &sections).unwrap();
        bytes
    }

    #[test]
    fn what_was_written_is_read_where_it_lies() {
        let bytes = written();
        let part = part(&bytes).unwrap();
        assert_eq!(part.header::<(u64, String)>("test").unwrap(), (3, "x".into()));
        let section = part.section("a").unwrap();
        assert_eq!((&*section, section.as_ptr() as usize % ALIGNED), (&[7; 65][..], 0));
        assert_eq!(part.numbers::<f64>("numbers").unwrap(), [0.5, f64::NEG_INFINITY]);
        assert!(part.section("none").unwrap().is_empty() && part.has("none") && !part.has("b"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let bytes = written();
        let message = |bytes: &[u8]| part(bytes).err().map(|e| e.to_string()).unwrap_or_default();
        for length in 1..bytes.len() - ALIGNED {
            assert!(!message(&bytes[..length]).is_empty(), "{length}");
        }
        assert!(message(b"TWMODEL1........").contains("TWPART01"));
        let mut long = bytes.clone();
        long[8..16].fill(0xff);
        assert!(message(&long).contains("head of 18446744073709551615 bytes"));
        let part = part(&bytes).unwrap();
        assert!(
            part.header::<(u64, String)>("other").unwrap_err().to_string().contains("\"other\" is needed")
        );
        assert!(part.section("b").unwrap_err().to_string().contains("\"b\""));
        assert!(part.numbers::<f64>("a").unwrap_err().to_string().contains("cut off"));
        // A part with one wrong byte is refused, or is another part; nothing worse.
        for at in 0..bytes.len() - ALIGNED {
            for wrong in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = wrong;
                if let Ok(part) = super::tests::part(&bytes) {
                    let _ = part.header::<(u64, String)>("test");
                    let _ = part.numbers::<f64>("numbers");
                }
            }
        }
        // A section that ends behind the last number there is.
        let section = Section { name: "a".into(), start: u64::MAX, bytes: 2 };
        let head = Head { kind: "test".into(), header: Vec::new(), sections: vec![section] };
        let head = postcard::to_stdvec(&head).unwrap();
        let bytes = [MAGIC, &(head.len() as u64).to_le_bytes(), &head, &[0; 64]].concat();
        assert!(message(&bytes).contains("ends before"));
    }
}
