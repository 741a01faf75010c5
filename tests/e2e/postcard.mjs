// Postcard's wire format, for values whose layout is described as in protocol.json.
//
// A layout is the name of a primitive ("U32"), or an object with one entry that describes the parts of the value: {
// SEQ: "F32" }, { STRUCT: [{ id: "U32" }] }, { TYPENAME: "Walk" }. Values are as in JSON: a variant without fields is
// its name, any other variant is { Name: fields }.
// A codec is a pair of functions: `write(bytes, value)` and `read(cursor)`.

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

const byte = fixed(1, "setUint8", "getUint8");

const bool = { write: (bytes, value) => bytes.push(value ? 1 : 0), read: (cursor) => byte.read(cursor) === 1 };

// An integer with seven bits a byte, the lowest first.
const varint = {
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
      const next = byte.read(cursor);
      value |= BigInt(next & 127) << shift;
      if (next < 128) return Number(value);
    }
  },
};

function list(item) {
  return {
    write(bytes, values) {
      varint.write(bytes, values.length);
      for (const value of values) item.write(bytes, value);
    },
    read: (cursor) => Array.from({ length: varint.read(cursor) }, () => item.read(cursor)),
  };
}

const string = {
  write: (bytes, value) => list(byte).write(bytes, new TextEncoder().encode(value)),
  read: (cursor) => new TextDecoder().decode(Uint8Array.from(list(byte).read(cursor))),
};

function option(item) {
  return {
    write(bytes, value) {
      bool.write(bytes, value !== null);
      if (value !== null) item.write(bytes, value);
    },
    read: (cursor) => (bool.read(cursor) ? item.read(cursor) : null),
  };
}

function tuple(items) {
  return {
    write: (bytes, values) => items.forEach((item, i) => item.write(bytes, values[i])),
    read: (cursor) => items.map((item) => item.read(cursor)),
  };
}

function struct(fields) {
  const names = fields.map(([name]) => name);
  return {
    write(bytes, value) {
      const found = Object.keys(value);
      if (found.length !== names.length || !names.every((name) => found.includes(name))) {
        throw new Error(`expected the fields ${names.join(", ")}, found ${found.join(", ")}`);
      }
      for (const [name, field] of fields) field.write(bytes, value[name]);
    },
    read: (cursor) => Object.fromEntries(fields.map(([name, field]) => [name, field.read(cursor)])),
  };
}

// `variants` are pairs of a name and a codec; the codec is null where the variant has no fields.
function choice(variants) {
  return {
    write(bytes, value) {
      const [name, fields] = typeof value === "string" ? [value, null] : Object.entries(value)[0];
      const index = variants.findIndex(([other]) => other === name);
      if (index < 0) throw new Error(`${name} is none of ${variants.map(([other]) => other).join(", ")}`);
      varint.write(bytes, index);
      variants[index][1]?.write(bytes, fields);
    },
    read(cursor) {
      const [name, fields] = variants[varint.read(cursor)] ?? [];
      if (name === undefined) throw new Error("a message has a variant that protocol.json does not describe");
      return fields === null ? name : { [name]: fields.read(cursor) };
    },
  };
}

const PRIMITIVES = {
  BOOL: bool, U8: byte, U16: varint, U32: varint, U64: varint, STR: string,
  F32: fixed(4, "setFloat32", "getFloat32"), F64: fixed(8, "setFloat64", "getFloat64"),
};

// The codec of `layout`; `types` has the layouts of the types that `layout` names.
export function codec(layout, types = {}) {
  const of = (inner) => codec(inner, types);
  const named = (all) => all.map((one) => Object.entries(one)[0]);
  if (typeof layout === "string") return PRIMITIVES[layout];
  const [kind, inner] = Object.entries(layout)[0];
  switch (kind) {
    case "TYPENAME": return of(types[inner]);
    case "NEWTYPE": return of(inner);
    case "OPTION": return option(of(inner));
    case "SEQ": return list(of(inner));
    case "TUPLE": return tuple(inner.map(of));
    case "TUPLEARRAY": return tuple(Array(inner.SIZE).fill(of(inner.CONTENT)));
    case "STRUCT": return struct(named(inner).map(([name, field]) => [name, of(field)]));
    // Keys that are numbers are in their order.
    case "ENUM": return choice(named(Object.values(inner)).map(([name, fields]) => [name, fields === "UNIT" ? null : of(fields)]));
    default: throw new Error(`postcard.mjs knows no layout ${kind}`);
  }
}

export function encode({ write }, value) {
  const bytes = [];
  write(bytes, value);
  return Uint8Array.from(bytes);
}

// All bytes must be used: bytes that are left over mean that the page was built from other messages.
export function decode({ read }, bytes) {
  const cursor = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 };
  const value = read(cursor);
  if (cursor.at !== bytes.byteLength) {
    throw new Error(`${bytes.byteLength - cursor.at} bytes of a message are left: was the page built from the messages in protocol.json?`);
  }
  return value;
}
