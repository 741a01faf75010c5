// Known encodings, from postcard's specification of its wire format.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bool, decode, encode, f32, list, names, option, string, tuple, u8, uint } from "./postcard.mjs";

test("encodings are postcard's", () => {
  const cases = [
    [uint, 0, [0x00]],
    [uint, 127, [0x7f]],
    [uint, 128, [0x80, 0x01]],
    [uint, 16384, [0x80, 0x80, 0x01]],
    [uint, 65535, [0xff, 0xff, 0x03]],
    [f32, -32.005859375, [0x00, 0x06, 0x00, 0xc2]],
    [string, "λ", [0x02, 0xce, 0xbb]],
    [option(u8), null, [0x00]],
    [option(u8), 3, [0x01, 0x03]],
    [list(bool), [true, false], [0x02, 0x01, 0x00]],
    [tuple(u8, uint), [9, 300], [0x09, 0xac, 0x02]],
    [names("a", "b"), "b", [0x01]],
  ];
  for (const [type, value, bytes] of cases) {
    assert.deepEqual([...encode(type, value)], bytes);
    assert.deepEqual(decode(type, Uint8Array.from(bytes)), value);
  }
});

test("bytes that are left over are an error", () => {
  assert.throws(() => decode(u8, Uint8Array.of(1, 2)), /1 bytes of a message are left/);
});
