//! Enough of Python's pickle machine (PEP 307, PEP 3154) for dictionaries of tensors as torch.save
//! writes them, and no more: it refers to six kinds of names, and calls none of them.

mod input;
mod value;

use std::collections::HashMap;

pub(crate) use value::{Objects, Storage, Tensor, Value};

use crate::error::PytorchError;
use input::Input;
use value::{Global, as_size};

/// Runs the pickle in `bytes`: what it leaves, and everything that it built.
///
/// # Errors
/// When it is damaged or needs anything else.
pub(crate) fn run(bytes: &[u8]) -> Result<(Value, Objects), PytorchError> {
    let mut machine = Machine {
        input: Input::new(bytes),
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
    PytorchError::damaged("the pickle in it is truncated or damaged")
}

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
                let (Some(module), Some(name)) = (module, name) else {
                    return Err(damaged());
                };
                self.push_global(&module, &name)?;
            }
            0x93 => {
                let [name, module] = [self.pop()?, self.pop()?];
                let text = |value| self.objects.as_text(value).map(str::to_owned);
                let (Some(module), Some(name)) = (text(module), text(name)) else {
                    return Err(damaged());
                };
                self.push_global(&module, &name)?;
            }
            b'Q' => self.refer_to_storage()?,
            b'R' => self.rebuild()?,
            b'b' => {
                // The attributes of an OrderedDict: torch keeps versions of layers there.
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

    /// The last `count` values, in the order in which they were pushed.
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

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), PytorchError> {
        let global = Global::find(module, name)
            .ok_or_else(|| PytorchError::Forbidden(format!("{module}.{name}")))?;
        self.stack.push(Value::Global(global));
        Ok(())
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

    /// Adds to the dictionary or list below.
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

    /// `("storage", torch.FloatStorage, key, location, count)`.
    fn refer_to_storage(&mut self) -> Result<(), PytorchError> {
        let id = self.pop()?;
        let storage = match self.objects.as_sequence(id) {
            Some(&[tag, Value::Global(Global::Storage(number)), key, _, len])
                if self.objects.as_text(tag) == Some("storage") =>
            {
                let key = self.objects.as_text(key).map(str::to_owned);
                key.zip(as_size(len))
                    .map(|(key, len)| Storage { number, key, len })
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

    /// A call: of OrderedDict(), or of one of the functions that make tensors.
    fn rebuild(&mut self) -> Result<(), PytorchError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = function else {
            return Err(damaged());
        };
        let arguments = self.objects.as_sequence(arguments).ok_or_else(damaged)?;
        let value = match (function, arguments) {
            (Global::OrderedDict, []) => self.objects.dict(),
            (Global::RebuildParameter, &[Value::Tensor(id), ..]) => Value::Tensor(id),
            (Global::RebuildTensor, &[Value::Storage(storage), offset, shape, strides, ..]) => {
                let tensor = || {
                    Some(Tensor {
                        storage,
                        offset: as_size(offset)?,
                        shape: self.objects.as_sizes(shape)?,
                        strides: self.objects.as_sizes(strides)?,
                    })
                };
                let tensor = tensor().ok_or_else(damaged)?;
                self.objects.tensor(tensor)
            }
            _ => return Err(damaged()),
        };
        self.stack.push(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
