//! UBJSON (draft 12 of the specification at ubjson.org), read into whatever serde can: a marker, then lengths and numbers with their
//! high byte first; arrays and objects may tell the type of all their items once, and their number.
//!
//! Nothing is allocated for lengths that the file only claims: items are read one by one, each takes a byte at least, and texts are
//! borrowed from the file.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor, value};
use serde::forward_to_deserialize_any;
use std::fmt;

/// Levels that may stand in each other.
const DEEPEST: usize = 100;

/// What a file that is to be read as `T` holds.
pub(super) fn from_slice<'de, T: serde::Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Failed> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    let found = T::deserialize(Item { reader: &mut reader, marker: None })
        .map_err(|e| Failed(format!("byte {}: {e}", reader.at)))?;
    while reader.bytes.get(reader.at) == Some(&b'N') {
        reader.at += 1;
    }
    if reader.at == bytes.len() {
        Ok(found)
    } else {
        Err(Failed(format!("byte {}: there is more behind the end", reader.at)))
    }
}

/// Why it is none.
#[derive(Debug)]
pub(super) struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl serde::de::Error for Failed {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self(what.to_string())
    }
}

struct Reader<'de> {
    bytes: &'de [u8],
    at: usize,
    depth: usize,
}

impl<'de> Reader<'de> {
    fn take(&mut self, count: usize) -> Result<&'de [u8], Failed> {
        let rest = &self.bytes[self.at..];
        let taken = rest
            .get(..count)
            .ok_or_else(|| Failed(format!("{count} bytes are needed and {} are left", rest.len())))?;
        self.at += count;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Failed> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// The next marker that means something.
    fn marker(&mut self) -> Result<u8, Failed> {
        loop {
            match self.take(1)?[0] {
                b'N' => {}
                marker => return Ok(marker),
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn integer(&mut self, marker: u8) -> Result<i64, Failed> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.number()?).into(),
            b'U' => u8::from_be_bytes(self.number()?).into(),
            b'I' => i16::from_be_bytes(self.number()?).into(),
            b'l' => i32::from_be_bytes(self.number()?).into(),
            b'L' => i64::from_be_bytes(self.number()?),
            _ => return Err(Failed(format!("{:?} does not begin a whole number", marker as char))),
        })
    }

    fn length(&mut self) -> Result<usize, Failed> {
        let marker = self.marker()?;
        let length = self.integer(marker)?;
        usize::try_from(length).map_err(|_| Failed(format!("{length} is no length")))
    }

    fn text(&mut self) -> Result<&'de str, Failed> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(Failed::custom)
    }

    /// The type of all items and their number, if they are told.
    fn head(&mut self) -> Result<(Option<u8>, Option<usize>), Failed> {
        let mut kind = None;
        if self.peek() == Some(b'$') {
            self.at += 1;
            let marker = self.take(1)?[0];
            // Others would make items of nothing, or of items.
            if !b"iUIlLdDCS".contains(&marker) {
                return Err(Failed(format!("items of type {:?} are not accepted", marker as char)));
            }
            kind = Some(marker);
        }
        if self.peek() == Some(b'#') {
            self.at += 1;
            return Ok((kind, Some(self.length()?)));
        }
        match kind {
            Some(_) => Err(Failed("a type of items is told without their number".to_owned())),
            None => Ok((None, None)),
        }
    }
}

/// The next item, whose marker may have been told.
struct Item<'r, 'de> {
    reader: &'r mut Reader<'de>,
    marker: Option<u8>,
}

impl<'de> Deserializer<'de> for Item<'_, 'de> {
    type Error = Failed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        let reader = self.reader;
        let marker = match self.marker {
            Some(marker) => marker,
            None => reader.marker()?,
        };
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'd' => visitor.visit_f32(f32::from_be_bytes(reader.number()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(reader.number()?)),
            b'C' => visitor.visit_char(reader.take(1)?[0].into()),
            b'S' => visitor.visit_borrowed_str(reader.text()?),
            b'[' | b'{' => {
                reader.depth += 1;
                if reader.depth > DEEPEST {
                    return Err(Failed(format!("more than {DEEPEST} levels are not accepted")));
                }
                let (kind, left) = reader.head()?;
                let mut items =
                    Items { reader: &mut *reader, kind, left, end: if marker == b'[' { b']' } else { b'}' } };
                let found = if marker == b'[' {
                    visitor.visit_seq(&mut items)
                } else {
                    visitor.visit_map(&mut items)
                }?;
                reader.depth -= 1;
                Ok(found)
            }
            marker => {
                let integer = reader.integer(marker)?;
                visitor.visit_i64(integer)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match (self.marker, self.reader.peek()) {
            (None, Some(b'Z')) => {
                self.reader.at += 1;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct enum identifier ignored_any
    }
}

/// What is in an array or an object.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    kind: Option<u8>,
    left: Option<usize>,
    end: u8,
}

impl Items<'_, '_> {
    /// Whether there is another one.
    fn next(&mut self) -> Result<bool, Failed> {
        if let Some(left) = &mut self.left {
            let more = *left > 0;
            *left -= usize::from(more);
            return Ok(more);
        }
        while self.reader.peek() == Some(b'N') {
            self.reader.at += 1;
        }
        if self.reader.peek() == Some(self.end) {
            self.reader.at += 1;
            return Ok(false);
        }
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Failed;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failed> {
        if !self.next()? {
            return Ok(None);
        }
        seed.deserialize(Item { reader: self.reader, marker: self.kind }).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Failed;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failed> {
        if !self.next()? {
            return Ok(None);
        }
        let key = self.reader.text()?;
        seed.deserialize(value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failed> {
        seed.deserialize(Item { reader: self.reader, marker: self.kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(bytes: &[u8]) -> Result<Value, String> {
        from_slice(bytes).map_err(|e| e.to_string())
    }

    #[test]
    fn every_type_is_read() {
        assert_eq!(
            read(b"[ZTFi\xffU\xffI\x01\x00l\xff\xff\xff\xfeL\0\0\0\0\0\0\0\x07]").unwrap(),
            json!([null, true, false, -1, 255, 256, -2, 7])
        );
        assert_eq!(
            read(b"[d\x3f\x80\0\0D\x40\0\0\0\0\0\0\0CxSU\x03abc]").unwrap(),
            json!([1.0, 2.0, "x", "abc"])
        );
        assert_eq!(read(b"{U\x01a[]NU\x01b{}}N").unwrap(), json!({"a": [], "b": {}}));
        assert_eq!(
            read(b"[#U\x02[$I#i\x02\0\x01\0\x02{#i\x01i\x01kZ").unwrap(),
            json!([[1, 2], {"k": null}])
        );
        assert_eq!(read(b"{$U#i\x02i\x01a\x05i\x01b\x06").unwrap(), json!({"a": 5, "b": 6}));
    }

    #[test]
    fn what_is_none_is_refused_without_room_for_it() {
        for (bytes, told) in [
            (&b""[..], "1 bytes are needed"),
            (b"[i\x01", "needed"),
            (b"[$Z#L\x7f\xff\xff\xff\xff\xff\xff\xff", "items of type"),
            (b"[$[#U\x02", "items of type"),
            (b"[$U]", "without their number"),
            (b"[#L\x7f\xff\xff\xff\xff\xff\xff\xff", "needed"),
            (b"[#i\xff", "-1 is no length"),
            (b"SL\x7f\xff\xff\xff\xff\xff\xff\xffa", "are left"),
            (b"SU\x02\xff\xff", "utf-8"),
            (b"Hi\x011", "whole number"),
            (b"[]]", "behind the end"),
        ] {
            let message = read(bytes).unwrap_err();
            assert!(message.contains(told), "{bytes:?}: {message}");
        }
        assert!(read(&[b'['; 1000]).unwrap_err().contains("levels"));
        assert_eq!(from_slice::<Option<u8>>(b"Z").unwrap(), None);
        assert_eq!(from_slice::<Vec<f32>>(b"[$d#U\x01\x3f\x80\0\0").unwrap(), [1.0]);
    }
}
