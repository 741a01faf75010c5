//! The zip archives that torch.save writes: stored, not compressed; below 4 GiB; no encryption.
//! (PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.)

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::PytorchError;

const END: [u8; 4] = *b"PK\x05\x06";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

/// Entries by name.
pub(crate) struct Archive<'a> {
    bytes: &'a [u8],
    entries: BTreeMap<String, Range<usize>>,
}

impl<'a> Archive<'a> {
    /// Whether the bytes look like a zip archive.
    pub(crate) fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(&LOCAL)
    }

    /// Reads the directory of an archive and checks that every entry lies inside it.
    ///
    /// # Errors
    /// When it is damaged, or uses what torch.save does not.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, PytorchError> {
        let truncated = || PytorchError::damaged("the zip archive is truncated or damaged");
        let end = end_of_directory(bytes).ok_or_else(truncated)?;
        let count = u16_at(bytes, end + 10).ok_or_else(truncated)?;
        let start = u32_at(bytes, end + 16).ok_or_else(truncated)?;
        if count == u16::MAX || start == u32::MAX {
            return Err(PytorchError::damaged(
                "the zip archive has 65,535 entries or 4 GiB and more, which is not read",
            ));
        }
        let mut archive = Self {
            bytes,
            entries: BTreeMap::new(),
        };
        let mut at = start as usize;
        for _ in 0..count {
            at = archive.add(at)?.ok_or_else(truncated)?;
        }
        Ok(archive)
    }

    /// The content of an entry.
    pub(crate) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.bytes.get(self.entries.get(name)?.clone())
    }

    /// Names of all entries, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Adds the entry whose header in the directory is at `at`: where the next one begins, or
    /// nothing where the bytes do not hold it.
    fn add(&mut self, at: usize) -> Result<Option<usize>, PytorchError> {
        let bytes = self.bytes;
        if bytes
            .get(at..)
            .is_none_or(|rest| !rest.starts_with(&CENTRAL))
        {
            return Ok(None);
        }
        let read = || {
            let flags = u16_at(bytes, at + 8)?;
            let method = u16_at(bytes, at + 10)?;
            let [packed, size] = [u32_at(bytes, at + 20)?, u32_at(bytes, at + 24)?];
            let name = usize::from(u16_at(bytes, at + 28)?);
            let rest = usize::from(u16_at(bytes, at + 30)?) + usize::from(u16_at(bytes, at + 32)?);
            let header = u32_at(bytes, at + 42)? as usize;
            let name = bytes.get(at + 46..at + 46 + name)?;
            let next = at + 46 + name.len() + rest;
            Some((flags, method, packed, size, name, header, next))
        };
        let Some((flags, method, packed, size, name, header, next)) = read() else {
            return Ok(None);
        };
        let name = String::from_utf8_lossy(name).into_owned();
        if method != 0 || packed != size || flags & 1 != 0 {
            return Err(PytorchError::Damaged(format!(
                "the entry {name:?} of the zip archive is compressed or encrypted, which torch.save never does"
            )));
        }
        let Some(range) = content(bytes, header, size as usize) else {
            return Ok(None);
        };
        if self.entries.insert(name.clone(), range).is_some() {
            return Err(PytorchError::Damaged(format!(
                "the zip archive has two entries called {name:?}"
            )));
        }
        Ok(Some(next))
    }
}

/// Where the content of the entry lies whose local header is at `header`.
fn content(bytes: &[u8], header: usize, size: usize) -> Option<Range<usize>> {
    if !bytes.get(header..)?.starts_with(&LOCAL) {
        return None;
    }
    let name = usize::from(u16_at(bytes, header + 26)?);
    let extra = usize::from(u16_at(bytes, header + 28)?);
    let start = header + 30 + name + extra;
    let range = start..start.checked_add(size)?;
    bytes.get(range.clone()).map(|_| range)
}

/// Where the end record is: 22 bytes and a comment that reaches to the end of the file.
fn end_of_directory(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(22)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    (first..=last).rev().find(|&at| {
        bytes[at..].starts_with(&END)
            && u16_at(bytes, at + 20)
                .is_some_and(|comment| at + 22 + usize::from(comment) == bytes.len())
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An archive of stored entries.
    pub(crate) fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in entries {
            let at = out.len() as u32;
            let size = (content.len() as u32).to_le_bytes();
            let name_length = (name.len() as u16).to_le_bytes();
            out.extend(LOCAL);
            out.extend([0; 14]);
            out.extend([size, size].concat());
            out.extend([name_length, [0; 2]].concat());
            out.extend([name.as_bytes(), content].concat());
            directory.extend(CENTRAL);
            directory.extend([0; 16]);
            directory.extend([size, size].concat());
            directory.extend([name_length, [0; 2]].concat());
            directory.extend([0; 10]);
            directory.extend(at.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let (start, count) = (out.len() as u32, (entries.len() as u16).to_le_bytes());
        out.extend(&directory);
        out.extend(END);
        out.extend([0; 4]);
        out.extend([count, count].concat());
        out.extend((directory.len() as u32).to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend([0; 2]);
        out
    }

    fn refusal(bytes: &[u8]) -> String {
        Archive::open(bytes).err().expect("a refusal").to_string()
    }

    #[test]
    fn entries_are_found_by_name() {
        let bytes = archive(&[("x/a", b"first"), ("x/b", b"")]);
        let archive = Archive::open(&bytes).expect("an archive");
        assert_eq!(archive.get("x/a"), Some(b"first".as_slice()));
        assert_eq!(archive.get("x/b"), Some([].as_slice()));
        assert_eq!(archive.get("x/c"), None);
        assert_eq!(archive.names().collect::<Vec<_>>(), ["x/a", "x/b"]);
    }

    #[test]
    fn what_torch_does_not_write_is_refused() {
        let whole = archive(&[("a", b"content")]);
        let central = whole
            .windows(4)
            .position(|w| w == CENTRAL)
            .expect("a directory");
        let changed = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            bytes
        };
        assert!(refusal(&changed(central + 10, 8)).contains("compressed"));
        assert!(refusal(&changed(central + 8, 1)).contains("encrypted"));
        // A size and an offset beyond the end.
        assert!(refusal(&changed(central + 44, 1)).contains("damaged"));
        let mut longer = changed(central + 23, 1);
        longer[central + 27] = 1;
        assert!(refusal(&longer).contains("damaged"));
        assert!(refusal(&archive(&[("a", b"1"), ("a", b"2")])).contains("two entries"));
        for length in 0..whole.len() {
            refusal(&whole[..length]);
        }
    }
}
