// Postcard's wire format, as far as web/src/protocol.rs uses it.
// A type here is a pair of functions: `write(bytes, value)` and `read(cursor)`.

const scratch = new DataView(new ArrayBuffer(8));

function fixed(size, set, get) {
  return {
    write(bytes, value) {
      scratch[set](0, value, true);
      for (let i = 0; i < size; i += 1) bytes.push(scratch.getUint8(i));
    },
    read(cursor) {
      const value = cursor.view[get](cursor.at, true);
      cursor.at += size;
      return value;
    },
  };
}

export const f32 = fixed(4, "setFloat32", "getFloat32");
export const f64 = fixed(8, "setFloat64", "getFloat64");
export const u8 = fixed(1, "setUint8", "getUint8");
export const bool = { write: (bytes, value) => bytes.push(value ? 1 : 0), read: (cursor) => u8.read(cursor) === 1 };

// u16 and up: seven bits a byte, the lowest first.
export const uint = {
  write(bytes, value) {
    let rest = BigInt(value);
    while (rest > 127n) {
      bytes.push(Number(rest & 127n) | 128);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
  },
  read(cursor) {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = u8.read(cursor);
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  },
};

export function list(item) {
  return {
    write(bytes, values) {
      uint.write(bytes, values.length);
      for (const value of values) item.write(bytes, value);
    },
    read(cursor) {
      return Array.from({ length: uint.read(cursor) }, () => item.read(cursor));
    },
  };
}

export const string = {
  write: (bytes, value) => list(u8).write(bytes, new TextEncoder().encode(value)),
  read: (cursor) => new TextDecoder().decode(Uint8Array.from(list(u8).read(cursor))),
};

export function option(item) {
  return {
    write(bytes, value) {
      bool.write(bytes, value != null);
      if (value != null) item.write(bytes, value);
    },
    read: (cursor) => (bool.read(cursor) ? item.read(cursor) : null),
  };
}

export function tuple(...items) {
  return {
    write: (bytes, values) => items.forEach((item, i) => item.write(bytes, values[i])),
    read: (cursor) => items.map((item) => item.read(cursor)),
  };
}

export function struct(fields) {
  const entries = Object.entries(fields);
  return {
    write: (bytes, value) => entries.forEach(([name, type]) => type.write(bytes, value[name])),
    read: (cursor) => Object.fromEntries(entries.map(([name, type]) => [name, type.read(cursor)])),
  };
}

// Variants without fields, in the order of their definition.
export function names(...variants) {
  return {
    write: (bytes, value) => uint.write(bytes, index(variants, value)),
    read: (cursor) => variants[uint.read(cursor)],
  };
}

// Variants with fields: values are objects with a `kind`.
export function variants(types) {
  const kinds = Object.keys(types);
  return {
    write(bytes, value) {
      uint.write(bytes, index(kinds, value.kind));
      types[value.kind].write(bytes, value);
    },
    read(cursor) {
      const kind = kinds[uint.read(cursor)];
      if (kind === undefined) throw new Error("a variant that tests/e2e/protocol.mjs does not know");
      return { kind, ...types[kind].read(cursor) };
    },
  };
}

function index(all, name) {
  const found = all.indexOf(name);
  if (found < 0) throw new Error(`${name} is none of ${all.join(", ")}`);
  return found;
}

export function encode(type, value) {
  const bytes = [];
  type.write(bytes, value);
  return Uint8Array.from(bytes);
}

// Every byte has to be used: what is left over means that the two sides disagree.
export function decode(type, bytes) {
  const cursor = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 };
  const value = type.read(cursor);
  if (cursor.at !== bytes.byteLength) {
    throw new Error(`${bytes.byteLength - cursor.at} bytes of a message are left: does tests/e2e/protocol.mjs follow web/src/protocol.rs?`);
  }
  return value;
}
