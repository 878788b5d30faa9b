//! Malformed and malicious PyTorch files. Each is refused with its cause, soon, and runs nothing.

use std::fs;

use crate::support::folders::folder;
use crate::support::weight_files::*;

/// A pickle in a torch archive, as the value of one weight.
fn in_archive(value: &[u8]) -> Vec<u8> {
    around(&pickle(&dict(&[("weight", value.to_vec())])), &[("0", vec![0; 32])])
}

/// An archive whose pickle is these bytes.
fn raw(pickle: &[u8]) -> Vec<u8> {
    around(pickle, &[("0", vec![0; 32])])
}

fn half() -> Vec<u8> {
    storage("HalfStorage", "0", 16)
}

#[test]
fn a_pickle_that_asks_for_anything_is_refused() {
    let calls = [
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("builtins", "open"),
        ("__builtin__", "eval"),
        ("__builtin__", "apply"),
        ("subprocess", "Popen"),
        ("subprocess", "check_output"),
        ("runpy", "_run_code"),
        ("importlib", "import_module"),
        ("pickle", "loads"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.jit", "load"),
        ("numpy", "load"),
        ("operator", "attrgetter"),
        ("functools", "partial"),
        ("types", "FunctionType"),
        ("webbrowser", "open"),
        ("socket", "socket"),
        ("ctypes", "CDLL"),
        ("code", "interact"),
        ("shutil", "rmtree"),
        ("copyreg", "_reconstructor"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("collections", "OrderedDict.__init__"),
        ("torch", "FloatStorage.__class__"),
        ("__main__", "Anything"),
        ("", ""),
    ];
    let mut cases = Vec::new();
    for (module, name) in calls {
        let named = [global(module, name), tuple(&[text("touch /tmp/tidepool-was-here")])].concat();
        cases.push(("by REDUCE", in_archive(&[named.as_slice(), b"R"].concat()), "run"));
        cases.push(("by NEWOBJ", in_archive(&[named.as_slice(), b"\x81"].concat()), "run"));
        let by_stack = [text(module), text(name), b"\x93".to_vec(), tuple(&[]), b"R".to_vec()].concat();
        cases.push(("by STACK_GLOBAL", in_archive(&by_stack), "run"));
    }
    check_refused(&cases);
}

#[test]
fn an_opcode_that_weights_do_not_need_is_refused() {
    let opcodes: [(&str, &[u8]); 24] = [
        ("INST", b"(X\x02\0\0\0idios\nsystem\n"),
        ("OBJ", b"(cos\nsystem\nX\x02\0\0\0ido"),
        ("OBJ", b"(o"),
        ("EXT1", b"\x82\x01"),
        ("EXT2", b"\x83\x01\x00"),
        ("EXT4", b"\x84\x01\x00\x00\x00"),
        ("NEWOBJ_EX", b"))}\x92"),
        ("PERSID", b"P0\n"),
        ("DUP", b"N2"),
        ("LONG4", b"\x8b\xff\xff\xff\x7f"),
        ("FROZENSET", b"(\x91"),
        ("BYTEARRAY8", b"\x96\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("NEXT_BUFFER", b"\x97"),
        ("READONLY_BUFFER", b"N\x98"),
        ("0x49", b"I1\n"),
        ("0x4c", b"L1L\n"),
        ("0x46", b"F1.5\n"),
        ("0x53", b"S'text'\n"),
        ("0x56", b"Vtext\n"),
        ("0x67", b"g0\n"),
        ("0x70", b"Np0\n"),
        ("0xff", b"\xff"),
        ("0x00", b"\x00"),
        ("INST", b"i__builtin__\neval\n"),
    ];
    check_refused(&opcodes.map(|(name, bytes)| (name, in_archive(bytes), name)));
}

#[test]
fn a_pickle_that_makes_no_sense_is_refused() {
    let many = |opcode: &[u8], count: usize| [b"\x80\x02", opcode.repeat(count).as_slice(), b"."].concat();
    let doubled = [&b"\x80\x02]q\x00"[..], &b"(h\x00h\x00e".repeat(700_000), b"."].concat();
    let pairs = [b"(", tuple(&[text("a"), b"N".to_vec()]).repeat(100_000).as_slice(), b"l"].concat();
    let arguments = [pairs.as_slice(), b"\x85q\x000"].concat();
    let again = [global("collections", "OrderedDict"), b"h\x00R0".to_vec()].concat().repeat(1000);
    let copies = [b"\x80\x02", arguments.as_slice(), &again, b"}."].concat();
    let long_key = storage("HalfStorage", &"0".repeat(1 << 20), 16);
    let encode = [global("_codecs", "encode"), b"h\x00\x85R0".to_vec()].concat().repeat(100);
    let encoded = [b"\x80\x02", text(&"a".repeat(1 << 20)).as_slice(), b"q\x000", &encode, b"}."].concat();
    let set_on_text = [text("a"), b"N".to_vec(), b"Ns".to_vec()].concat();
    check_refused(&[
        ("nothing", raw(b""), "truncated"),
        ("no STOP", raw(b"\x80\x02}"), "truncated"),
        ("STOP of nothing", raw(b"\x80\x02."), "pops more"),
        ("of protocol 0", raw(b"\x80\x00N."), "protocol 0"),
        ("of protocol 9", raw(b"\x80\x09N."), "protocol 9"),
        ("POP of nothing", raw(b"\x80\x020."), "pops more"),
        ("TUPLE without a mark", raw(b"\x80\x02t."), "pops more"),
        ("TUPLE3 of two", raw(b"\x80\x02NN\x87."), "pops more"),
        ("taking what is below a mark", raw(b"\x80\x02N(0."), "pops more"),
        ("APPENDS on a number", raw(b"\x80\x02K\x01(Ne."), "changed"),
        ("APPEND on a dictionary", raw(b"\x80\x02}Na."), "not a list"),
        ("SETITEM on a list", raw(b"\x80\x02]NNs."), "dictionary"),
        ("SETITEM on a text", in_archive(&set_on_text), "dictionary"),
        ("a key without a value", raw(b"\x80\x02}(Nu."), "value"),
        ("BINGET of nothing", raw(b"\x80\x02h\x05."), "never stored"),
        ("LONG_BINGET of nothing", raw(b"\x80\x02j\xff\xff\xff\xff."), "never stored"),
        ("BINPUT of nothing", raw(b"\x80\x02q\x00."), "pops more"),
        ("a call of a text", in_archive(&[text("f"), b")R".to_vec()].concat()), "not a function"),
        (
            "a call without arguments",
            in_archive(&[global("collections", "OrderedDict"), b"NR".to_vec()].concat()),
            "arguments",
        ),
        (
            "a tensor without parts",
            in_archive(&call(global("torch._utils", "_rebuild_tensor_v2"), tuple(&[]))),
            "lacks",
        ),
        (
            "a tensor of texts",
            in_archive(&call(
                global("torch._utils", "_rebuild_tensor_v2"),
                tuple(&[text("a"), text("b"), text("c"), text("d")]),
            )),
            "invalid",
        ),
        (
            "a parameter of nothing",
            in_archive(&call(global("torch._utils", "_rebuild_parameter"), tuple(&[]))),
            "lacks",
        ),
        ("a storage that is a text", in_archive(&[text("0"), b"Q".to_vec()].concat()), "storage"),
        (
            "a storage of another class",
            in_archive(
                &[
                    tuple(&[text("storage"), global("torch", "Size"), text("0"), text("cpu"), int(1)]),
                    b"Q".to_vec(),
                ]
                .concat(),
            ),
            "storage",
        ),
        ("a storage of -1", in_archive(&storage("HalfStorage", "0", -1)), "storage"),
        ("a text longer than the file", raw(b"\x80\x02X\xff\xff\xff\x01."), "truncated"),
        ("texts beyond all bounds", raw(b"\x80\x02X\xff\xff\xff\xff."), "MiB of text"),
        ("a text of 2^64 bytes", raw(b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "MiB of text"),
        (
            "a name of a megabyte",
            in_archive(&[text(&"a".repeat(1 << 20)), text("b"), b"\x93".to_vec()].concat()),
            "too long",
        ),
        ("bytes of a text, again and again", raw(&encoded), "MiB of text"),
        ("a global without end", raw(&[b"\x80\x02c", [b'a'; 4000].as_slice()].concat()), "too long"),
        ("marks without end", raw(&many(b"(", 2_100_000)), "opcodes"),
        ("lists 2,100,000 deep", raw(&many(b"]", 2_100_000)), "opcodes"),
        ("a list of itself, again and again", raw(&doubled), "opcodes"),
        ("one dictionary, again and again", raw(&copies), "copies"),
        ("a storage with a name of a megabyte", in_archive(&long_key), "invalid"),
        ("dictionary", raw(b"\x80\x02N."), "no dictionary"),
        ("a list", raw(b"\x80\x02]."), "dictionary"),
        (
            "lists 200,000 deep",
            raw(&[b"\x80\x02", b"]".repeat(200_000).as_slice(), &b"a".repeat(199_999), b"."].concat()),
            "dictionary",
        ),
        ("a list that holds itself", raw(b"\x80\x02]q\x00h\x00a."), "dictionary"),
    ]);
}

#[test]
fn a_tensor_that_cannot_be_is_refused() {
    let t = |offset, shape: &[i64], strides: &[i64]| in_archive(&tensor(half(), offset, shape, strides));
    let twice = dict(&[("weight", tensor(half(), 0, &[2], &[1])), ("weight", tensor(half(), 2, &[2], &[1]))]);
    let two_ways = dict(&[
        ("a", tensor(half(), 0, &[2], &[1])),
        ("b", tensor(storage("FloatStorage", "0", 8), 0, &[2], &[1])),
    ]);
    let of = |class, elements| in_archive(&tensor(storage(class, "0", elements), 0, &[2], &[1]));
    let view = [
        tuple(&[
            text("storage"),
            global("torch", "HalfStorage"),
            text("0"),
            text("cpu"),
            int(16),
            text("view"),
        ]),
        b"Q".to_vec(),
    ]
    .concat();
    let wrap = || global("torch._tensor", "_rebuild_from_type_v2");
    // A list of the function, a class, and the list itself.
    let wraps_itself = [wrap(), b"]q\x00(".to_vec(), wrap(), b"Nh\x00NeR".to_vec()].concat();
    check_refused(&[
        ("longer than its storage", t(0, &[17], &[1]), "more numbers"),
        ("behind its storage", t(10, &[8], &[1]), "beyond"),
        ("strides beyond its storage", t(0, &[4, 4], &[5, 1]), "beyond"),
        ("64 GB out of 32 bytes", t(0, &[1 << 34], &[0]), "more numbers"),
        ("repeated rows", t(0, &[1 << 17, 1 << 17], &[0, 0]), "more numbers"),
        ("2^126 numbers", t(0, &[1 << 62, 1 << 62], &[0, 0]), "invalid"),
        ("strides of 2^62", t(0, &[3, 3], &[1 << 62, 1 << 62]), "invalid"),
        ("an offset of 2^62", t(1 << 62, &[1], &[1]), "beyond"),
        ("a negative offset", t(-1, &[2], &[1]), "invalid"),
        ("a negative side", t(0, &[-2], &[1]), "invalid"),
        ("a negative stride", t(4, &[2], &[-1]), "invalid"),
        ("fewer strides than sides", t(0, &[2, 2], &[1]), "invalid"),
        ("9 sides", t(0, &[1; 9], &[1; 9]), "invalid"),
        ("a name that occurs twice", around(&pickle(&twice), &[("0", vec![0; 32])]), "twice"),
        ("a storage of two types", around(&pickle(&two_ways), &[("0", vec![0; 32])]), "described twice"),
        (
            "a storage that is not there",
            in_archive(&tensor(storage("HalfStorage", "9", 16), 0, &[2], &[1])),
            "no data",
        ),
        (
            "a storage that leaves the archive",
            in_archive(&tensor(storage("HalfStorage", "../../0", 16), 0, &[2], &[1])),
            "no data",
        ),
        ("a storage shorter than it says", of("HalfStorage", 17), "another length"),
        ("a storage longer than it says", of("HalfStorage", 15), "another length"),
        ("a storage of 2^62 numbers", of("DoubleStorage", 1 << 62), "another length"),
        ("whole numbers", of("LongStorage", 4), "I64"),
        ("truths", of("BoolStorage", 32), "BOOL"),
        ("complex numbers", of("ComplexFloatStorage", 4), "C64"),
        ("complex numbers of 16 bytes", of("ComplexDoubleStorage", 2), "complex128"),
        ("numbers of an unknown storage", of("TideStorage", 2), "torch.TideStorage"),
        ("numbers of an unknown type", in_archive(&tensor_of("tide", "0", 2)), "torch.tide"),
        (
            "an array longer than its bytes",
            in_archive(&device_array("f4", &[2, 2], &[0; 12])),
            "more numbers",
        ),
        ("an array of 64 GB", in_archive(&device_array("f4", &[1 << 34], &[0; 12])), "more numbers"),
        ("an array of -2", in_archive(&device_array("f4", &[-2], &[0; 12])), "invalid"),
        ("an array of objects", in_archive(&device_array("O8", &[1], &[0; 8])), "invalid"),
        ("an array of whole numbers", in_archive(&device_array("i8", &[1], &[0; 8])), "I64"),
        ("a tensor that wraps itself", in_archive(&wraps_itself), "invalid"),
        ("a view of a storage", in_archive(&tensor(view, 0, &[2], &[1])), "views"),
    ]);
}

#[test]
fn an_archive_that_is_not_as_pytorch_makes_them_is_refused() {
    let sound = pickle(&dict(&[("weight", tensor(half(), 0, &[16], &[1]))]));
    let entry =
        |name: &str, bytes: &[u8]| Packed { name: name.into(), bytes: bytes.into(), ..Packed::default() };
    let data = entry("x/data/0", &[0; 32]);
    let of = |entries: &[Packed]| zip_of(entries, None);
    let whole = of(&[entry("x/data.pkl", &sound), data.clone()]);
    let bomb = {
        use std::io::Write;
        let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&b"N0".repeat(8 << 20)).expect("packs");
        packed.finish().expect("packs")
    };
    let deflated = |len: u32| Packed { method: 8, len: Some(len), ..entry("x/data.pkl", &bomb) };
    let directory_at = whole.len() - 22 + 16;
    let mut elsewhere = whole.clone();
    elsewhere[directory_at..directory_at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut no_directory = whole.clone();
    no_directory[directory_at] ^= 1;
    check_refused(&[
        ("no data.pkl", of(std::slice::from_ref(&data)), "data.pkl"),
        (
            "two data.pkl",
            of(&[entry("x/data.pkl", &sound), entry("y/data.pkl", &sound), data.clone()]),
            "exactly one",
        ),
        ("a name that occurs twice", of(&[entry("x/data.pkl", &sound), data.clone(), data.clone()]), "twice"),
        (
            "data.pkl that occurs twice",
            of(&[entry("x/data.pkl", &sound), entry("x/data.pkl", &sound)]),
            "twice",
        ),
        ("a bomb", of(&[deflated(16 << 20), data.clone()]), "unpack"),
        ("a bomb that lies", of(&[deflated(64 << 10), data.clone()]), "not as long"),
        ("more bytes packed than unpacked", of(&[deflated(4096), data.clone()]), "packed"),
        (
            "a pickle of 4 GB",
            of(&[Packed { method: 8, len: Some(u32::MAX - 1), ..entry("x/data.pkl", &bomb) }]),
            "unpack",
        ),
        (
            "an entry in secret",
            of(&[Packed { flags: 1, ..entry("x/data.pkl", &sound) }, data.clone()]),
            "encrypted",
        ),
        (
            "packed by LZMA",
            of(&[Packed { method: 14, ..entry("x/data.pkl", &sound) }, data.clone()]),
            "method 14",
        ),
        (
            "an entry behind the file",
            of(&[entry("x/data.pkl", &sound), Packed { header_at: Some(1 << 30), ..data.clone() }]),
            "outside",
        ),
        (
            "an entry longer than the file",
            of(&[
                entry("x/data.pkl", &sound),
                Packed { stored_len: Some(1 << 30), len: Some(1 << 30), ..data.clone() },
            ]),
            "outside",
        ),
        (
            "an entry of two lengths",
            of(&[entry("x/data.pkl", &sound), Packed { len: Some(16), ..data.clone() }]),
            "two lengths",
        ),
        (
            "an entry that is none",
            of(&[Packed { header_at: Some(7), ..entry("x/data.pkl", &sound) }, data.clone()]),
            "entry",
        ),
        ("60,000 entries", zip_of(&[entry("x/data.pkl", &sound)], Some(60_000)), "60000 entries"),
        (
            "more entries than it has",
            zip_of(&[entry("x/data.pkl", &sound), data.clone()], Some(9)),
            "damaged",
        ),
        ("a directory elsewhere", elsewhere, "outside"),
        ("no directory where it should be", no_directory, "damaged"),
        (
            "big-endian numbers",
            of(&[entry("x/data.pkl", &sound), data.clone(), entry("x/byteorder", b"big")]),
            "big-endian",
        ),
        ("an archive of something else", of(&[entry("word/document.xml", b"<xml/>")]), "exactly one"),
    ]);
    let place = folder();
    let path = place.path().join("weights.bin");
    fs::write(&path, &whole).expect("writes");
    read_all(&path).expect("the sound one is read");
}

#[test]
fn an_old_file_of_pytorchs_that_is_wrong_is_refused() {
    let sound = pickle(&dict(&[("weight", tensor(half(), 0, &[16], &[1]))]));
    let stored = |key: &str, len: usize| vec![(key.to_owned(), 2, vec![0; len])];
    let whole = legacy(&sound, &stored("0", 32));
    let version = whole.windows(3).position(|bytes| bytes == b"M\xe9\x03").expect("a version");
    let endian = whole.windows(2).position(|bytes| bytes == b"\x88u").expect("an endianness");
    let with = |at: usize, byte: u8| {
        let mut file = whole.clone();
        file[at] = byte;
        file
    };
    let attack = pickle(&call(global("os", "system"), tuple(&[text("id")])));
    check_refused(&[
        ("of another version", with(version + 1, 0xea), "version"),
        ("big-endian", with(endian, 0x89), "big-endian"),
        ("a storage nobody names", legacy(&sound, &stored("1", 32)), "tensor"),
        ("no storage", legacy(&sound, &[]), "no data"),
        ("a short storage", legacy(&sound, &stored("0", 16)), "another length"),
        ("a long storage", legacy(&sound, &stored("0", 64)), "another length"),
        ("an attack", legacy(&attack, &[]), "os.system"),
        ("a pickle and nothing else", sound.clone(), "PyTorch"),
    ]);
}
