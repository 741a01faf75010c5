//! The part of Python's pickle machine (PEP 307, PEP 3154) that dictionaries of tensors from `torch.save` need. A
//! pickle may refer only to the names in [`Global`], and none of them is called.

mod objects;

use std::collections::HashMap;

use objects::{Global, Storage, Tensor, as_size};
pub(crate) use objects::{Objects, Value};

use crate::error::{PytorchError, shown};

/// Runs the pickle in `bytes`, and returns the value that it leaves on the stack and all objects that it built. The
/// objects take at most some hundred bytes for each byte of the pickle.
///
/// # Errors
/// When the pickle is damaged, or needs an operation or a name that a dictionary of tensors does not.
pub(crate) fn run(bytes: &[u8]) -> Result<(Value, Objects), PytorchError> {
    let mut machine = Machine {
        input: Input { bytes },
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Objects::default(),
    };
    loop {
        let opcode = machine.input.byte().ok_or_else(damaged)?;
        if opcode == b'.' {
            let result = machine.pop()?;
            return Ok((result, machine.objects));
        }
        machine.step(opcode)?;
    }
}

fn damaged() -> PytorchError {
    PytorchError::Damaged("the pickle in it is truncated or damaged".to_owned())
}

/// The stack machine that runs a pickle.
struct Machine<'a> {
    input: Input<'a>,
    stack: Vec<Value>,
    /// Heights of the stack at the marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    objects: Objects,
}

impl Machine<'_> {
    fn step(&mut self, opcode: u8) -> Result<(), PytorchError> {
        match opcode {
            // PROTO and FRAME say nothing that matters here.
            0x80 => self.input.skip(1).ok_or_else(damaged)?,
            0x95 => self.input.skip(8).ok_or_else(damaged)?,
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'J' | b'K' | b'M' | 0x8a => {
                let int = self.input.int(opcode).ok_or_else(damaged)?;
                self.stack.push(Value::Int(int));
            }
            b'G' => {
                let float = self.input.float().ok_or_else(damaged)?;
                self.stack.push(Value::Float(float));
            }
            b'X' | 0x8c => {
                let text = self.input.text(opcode).ok_or_else(damaged)?;
                let text = self.objects.text(text);
                self.stack.push(text);
            }
            b'q' | b'r' | 0x94 => self.remember(opcode)?,
            b'h' | b'j' => {
                let index = self.input.index(opcode).ok_or_else(damaged)?;
                let value = self.memo.get(&index).ok_or_else(damaged)?;
                self.stack.push(*value);
            }
            b'}' => {
                let dict = self.objects.dict();
                self.stack.push(dict);
            }
            b']' | b')' => self.push_sequence(Vec::new()),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_sequence(items);
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let items = self.pop_many(count)?;
                self.push_sequence(items);
            }
            b's' | b'u' | b'a' | b'e' => self.fill(opcode)?,
            b'c' => {
                let [module, name] = [self.input.line(), self.input.line()];
                let global = global(module.ok_or_else(damaged)?, name.ok_or_else(damaged)?)?;
                self.stack.push(Value::Global(global));
            }
            0x93 => {
                let [name, module] = [self.pop()?, self.pop()?];
                let text = |value| self.objects.as_text(value).ok_or_else(damaged);
                let global = global(text(module)?, text(name)?)?;
                self.stack.push(Value::Global(global));
            }
            b'Q' => self.refer_to_storage()?,
            b'R' => self.rebuild()?,
            b'b' => {
                // BUILD sets the attributes of an OrderedDict, in which torch keeps versions of layers. They are not
                // needed.
                self.pop()?;
                if !matches!(self.stack.last(), Some(Value::Dict(_))) {
                    return Err(PytorchError::Forbidden("attributes of an object".into()));
                }
            }
            other => {
                return Err(PytorchError::Forbidden(format!(
                    "the operation {other:#04x}"
                )));
            }
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, PytorchError> {
        self.stack.pop().ok_or_else(damaged)
    }

    /// Removes the last `count` values from the stack, and returns them in the order in which they were pushed.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, PytorchError> {
        let start = self.stack.len().checked_sub(count).ok_or_else(damaged)?;
        Ok(self.stack.split_off(start))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, PytorchError> {
        let mark = self.marks.pop().ok_or_else(damaged)?;
        if mark > self.stack.len() {
            return Err(damaged());
        }
        Ok(self.stack.split_off(mark))
    }

    fn push_sequence(&mut self, items: Vec<Value>) {
        let sequence = self.objects.sequence(items);
        self.stack.push(sequence);
    }

    fn remember(&mut self, opcode: u8) -> Result<(), PytorchError> {
        let index = match opcode {
            // MEMOIZE takes the next free place.
            0x94 => u32::try_from(self.memo.len()).ok(),
            _ => self.input.index(opcode),
        };
        let (index, value) = (index.ok_or_else(damaged)?, self.stack.last());
        self.memo.insert(index, *value.ok_or_else(damaged)?);
        Ok(())
    }

    /// Adds the values on top of the stack to the dictionary or list below them.
    fn fill(&mut self, opcode: u8) -> Result<(), PytorchError> {
        let items = match opcode {
            b's' => self.pop_many(2)?,
            b'a' => self.pop_many(1)?,
            _ => self.pop_to_mark()?,
        };
        match (opcode, self.stack.last()) {
            (b's' | b'u', Some(Value::Dict(id))) if items.len().is_multiple_of(2) => {
                let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
                self.objects.dicts[*id].extend(pairs);
            }
            (b'a' | b'e', Some(Value::Sequence(id))) => self.objects.sequences[*id].extend(items),
            _ => return Err(damaged()),
        }
        Ok(())
    }

    /// Replaces `("storage", torch.FloatStorage, key, location, count)` on the stack by the storage that it refers to.
    fn refer_to_storage(&mut self) -> Result<(), PytorchError> {
        let id = self.pop()?;
        let storage = match self.objects.as_sequence(id) {
            Some(
                &[
                    tag,
                    Value::Global(Global::Storage(dtype)),
                    Value::Text(key),
                    _,
                    len,
                ],
            ) if self.objects.as_text(tag) == Some("storage") => {
                as_size(len).map(|len| Storage { dtype, key, len })
            }
            _ => None,
        };
        let storage = storage.ok_or_else(|| {
            PytorchError::Forbidden("an object outside the pickle that is no storage".into())
        })?;
        let storage = self.objects.storage(storage);
        self.stack.push(storage);
        Ok(())
    }

    /// Replaces a function and its arguments on the stack by the result: of `OrderedDict()`, or of a function of torch
    /// that makes a tensor.
    fn rebuild(&mut self) -> Result<(), PytorchError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = function else {
            return Err(damaged());
        };
        let arguments = self.objects.as_sequence(arguments).ok_or_else(damaged)?;
        let value = match (function, arguments) {
            (Global::OrderedDict, []) => self.objects.dict(),
            (Global::RebuildParameter, &[Value::Tensor(id), ..]) => Value::Tensor(id),
            (
                Global::RebuildTensor,
                &[
                    Value::Storage(storage),
                    offset,
                    Value::Sequence(shape),
                    Value::Sequence(strides),
                    ..,
                ],
            ) => {
                let offset = as_size(offset).ok_or_else(damaged)?;
                self.objects.tensor(Tensor {
                    storage,
                    offset,
                    shape,
                    strides,
                })
            }
            _ => return Err(damaged()),
        };
        self.stack.push(value);
        Ok(())
    }
}

/// The name `module.name`. A name that no dictionary of tensors needs is an error.
fn global(module: &str, name: &str) -> Result<Global, PytorchError> {
    Global::find(module, name)
        .ok_or_else(|| PytorchError::Forbidden(format!("{}.{}", shown(module), shown(name))))
}

/// The bytes of a pickle that are still to be read. The methods return `None` if the bytes end too early.
struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    /// Reads a BININT, BININT1, BININT2 or LONG1, of at most 64 bits.
    fn int(&mut self, opcode: u8) -> Option<i64> {
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

    /// Reads a BINFLOAT, which is big-endian, unlike all other numbers.
    fn float(&mut self) -> Option<f64> {
        self.array().map(f64::from_be_bytes)
    }

    /// Reads a BINUNICODE or SHORT_BINUNICODE.
    fn text(&mut self, opcode: u8) -> Option<String> {
        let length = if opcode == b'X' {
            u32::from_le_bytes(self.array()?) as usize
        } else {
            usize::from(self.byte()?)
        };
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    /// Reads the index of a BINPUT or BINGET, or of its long form.
    fn index(&mut self, opcode: u8) -> Option<u32> {
        if matches!(opcode, b'q' | b'h') {
            self.byte().map(u32::from)
        } else {
            self.array().map(u32::from_le_bytes)
        }
    }

    /// Reads a line, without its end.
    fn line(&mut self) -> Option<&'a str> {
        let length = self.bytes.iter().position(|&byte| byte == b'\n')?;
        let line = str::from_utf8(self.take(length)?).ok();
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

#[cfg(test)]
mod tests;
