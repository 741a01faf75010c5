//! The arguments of pickle operations.

/// Bytes that are read once.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    /// BININT, BININT1, BININT2 or LONG1, of at most 64 bits.
    pub(super) fn int(&mut self, opcode: u8) -> Option<i64> {
        match opcode {
            b'J' => self.array().map(|bytes| i32::from_le_bytes(bytes).into()),
            b'K' => self.byte().map(i64::from),
            b'M' => self.array().map(|bytes| u16::from_le_bytes(bytes).into()),
            _ => {
                let length = usize::from(self.byte()?);
                let bytes = self.take(length)?;
                let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
                    0xff
                } else {
                    0
                };
                let mut wide = [sign; 8];
                wide.get_mut(..length)?.copy_from_slice(bytes);
                Some(i64::from_le_bytes(wide))
            }
        }
    }

    /// BINFLOAT; big-endian, unlike all others.
    pub(super) fn float(&mut self) -> Option<f64> {
        self.array().map(f64::from_be_bytes)
    }

    /// BINUNICODE or SHORT_BINUNICODE.
    pub(super) fn text(&mut self, opcode: u8) -> Option<String> {
        let length = if opcode == b'X' {
            u32::from_le_bytes(self.array()?) as usize
        } else {
            usize::from(self.byte()?)
        };
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    /// The index of a BINPUT or BINGET, or of its long form.
    pub(super) fn index(&mut self, opcode: u8) -> Option<u32> {
        if matches!(opcode, b'q' | b'h') {
            self.byte().map(u32::from)
        } else {
            self.array().map(u32::from_le_bytes)
        }
    }

    /// A line, without its end.
    pub(super) fn line(&mut self) -> Option<String> {
        let length = self.bytes.iter().position(|&byte| byte == b'\n')?;
        let line = String::from_utf8(self.take(length)?.to_vec()).ok();
        self.skip(1)?;
        line
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
}
