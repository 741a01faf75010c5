use super::*;

fn refusal(bytes: &[u8]) -> String {
    run(bytes).expect_err("a refusal").to_string()
}

#[test]
fn numbers_and_text_are_pythons() {
    // pickle.dumps((1, -2, 300, 2**40, -2**40, 0.5, True, None, "ä"), protocol=2)
    let bytes = b"\x80\x02(K\x01J\xfe\xff\xff\xffM,\x01\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x06\x00\x00\x00\x00\x00\xffG?\xe0\x00\x00\x00\x00\x00\x00\x88NX\x02\x00\x00\x00\xc3\xa4q\x00tq\x01.";
    let (value, objects) = run(bytes).expect("a tuple");
    let items = objects.as_sequence(value).expect("a tuple");
    let two_to_40 = 1_i64 << 40;
    let expected = [
        Value::Int(1),
        Value::Int(-2),
        Value::Int(300),
        Value::Int(two_to_40),
        Value::Int(-two_to_40),
        Value::Float(0.5),
        Value::Bool(true),
        Value::None,
    ];
    assert_eq!(items[..8], expected);
    assert_eq!(objects.as_text(items[8]), Some("ä"));
}

#[test]
fn a_program_is_refused_by_name() {
    // os.system("true"), as a malicious file would.
    let bytes = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.";
    assert!(refusal(bytes).contains("posix.system"));
    // This is the same call in protocol 4.
    let bytes = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.";
    assert!(refusal(bytes).contains("posix.system"));
    // Neither builtins.eval nor any other function of torch is allowed.
    assert!(refusal(b"cbuiltins\neval\n.").contains("builtins.eval"));
    assert!(refusal(b"ctorch\nload\n.").contains("torch.load"));
    // INST, OBJ, NEWOBJ, and REDUCE of a value that is no function.
    for operation in [b'i', b'o', 0x81] {
        assert!(refusal(&[b'(', operation]).contains("the operation"));
    }
    assert!(refusal(b"K\x01)R.").contains("damaged"));
}

#[test]
fn nonsense_is_refused_without_a_panic() {
    for bytes in [
        b"".as_slice(),
        b".",
        b"t.",
        b"(\x85.",
        b"s.",
        b"}(K\x01u.",
        b"]K\x01K\x02s.",
        b"h\x05.",
        b"q\x00.",
        b"X\xff\xff\xff\xffa.",
        b"\x8a\xffa.",
        b"Nb.",
        b"NQ.",
        b"K\x01((K\x020.",
    ] {
        refusal(bytes);
    }
    // The mark lies above the end of the stack.
    refusal(b"K\x01K\x02(\x86t.");
}

#[test]
fn depth_costs_no_stack() {
    // A million tuples inside each other, and a list that holds itself.
    let mut bytes = b"N".to_vec();
    bytes.resize(1_000_001, 0x85);
    bytes.push(b'.');
    let (value, objects) = run(&bytes).expect("a tuple");
    assert_eq!(objects.as_sequence(value).map(<[Value]>::len), Some(1));
    let (value, objects) = run(b"]q\x00h\x00a.").expect("a list");
    assert_eq!(objects.as_sequence(value), Some([value].as_slice()));
}
