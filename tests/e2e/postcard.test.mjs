// Known encodings, from postcard's specification of its wire format.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { codec, decode, encode } from "./postcard.mjs";

test("encodings are postcard's", () => {
  const letters = { ENUM: { 0: { A: "UNIT" }, 1: { B: "UNIT" }, 2: { C: { NEWTYPE: { TYPENAME: "Point" } } } } };
  const types = { Point: { STRUCT: [{ x: "U8" }, { y: "BOOL" }] } };
  const cases = [
    ["U32", 0, [0x00]],
    ["U32", 127, [0x7f]],
    ["U32", 128, [0x80, 0x01]],
    ["U32", 16384, [0x80, 0x80, 0x01]],
    ["U64", 65535, [0xff, 0xff, 0x03]],
    ["F32", -32.005859375, [0x00, 0x06, 0x00, 0xc2]],
    ["STR", "λ", [0x02, 0xce, 0xbb]],
    [{ OPTION: "U8" }, null, [0x00]],
    [{ OPTION: "U8" }, 3, [0x01, 0x03]],
    [{ SEQ: "BOOL" }, [true, false], [0x02, 0x01, 0x00]],
    [{ TUPLE: ["U8", "U32"] }, [9, 300], [0x09, 0xac, 0x02]],
    [{ TUPLEARRAY: { CONTENT: "U32", SIZE: 2 } }, [9, 300], [0x09, 0xac, 0x02]],
    [letters, "B", [0x01]],
    [letters, { C: { x: 5, y: true } }, [0x02, 0x05, 0x01]],
  ];
  for (const [layout, value, bytes] of cases) {
    const type = codec(layout, types);
    assert.deepEqual([...encode(type, value)], bytes);
    assert.deepEqual(decode(type, Uint8Array.from(bytes)), value);
  }
});

test("bytes that are left over are an error", () => {
  assert.throws(() => decode(codec("U8"), Uint8Array.of(1, 2)), /1 bytes of a message are left/);
});

test("fields that are missing or unknown are an error", () => {
  const point = codec({ STRUCT: [{ x: "U8" }, { y: "U8" }] });
  assert.throws(() => encode(point, { x: 1 }), /expected the fields x, y, found x/);
  assert.throws(() => encode(point, { x: 1, z: 2 }), /found x, z/);
});

test("the messages of protocol.json can be written and read", () => {
  const types = JSON.parse(readFileSync(new URL("./protocol.json", import.meta.url)));
  const request = codec({ TYPENAME: "Request" }, types);
  const walk = { sampler: "ddim", steps: 10, seed: 0, temperature: 1 };
  for (const message of ["Cancel", { Accuracy: { id: 300, walk } }, { Check: { pixels: [1, 2], walks: [walk, walk] } }]) {
    assert.deepEqual(decode(request, encode(request, message)), message);
  }
  const response = codec({ TYPENAME: "Response" }, types);
  const error = { Error: { message: "no", fatal: true } };
  assert.deepEqual(decode(response, encode(response, error)), error);
});
