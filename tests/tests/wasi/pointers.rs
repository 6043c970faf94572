//! Every pointer of every function of both modules, pointed where no memory is.

use std::fmt::Write;
use std::os::unix::net::{UnixListener, UnixStream};

use precast::{Extern, Instance, Linker, Store, Val};
use precast_tests::wasi::{compile, linker};
use precast_wasi::{Input, Output, Perms, WasiCtx, WasiCtxBuilder};

const FAULT: u32 = 21;
/// Bytes of the guest's memory.
const SIZE: u32 = 65_536;
/// Where good results go.
const OUT: u32 = 4096;
/// Where an array of one iovec stands.
const IOVECS: u32 = 64;
const FILE: i32 = 6;

/// An argument of a function.
#[derive(Clone, Copy)]
enum Arg {
    Int(i32),
    Long(i64),
    /// A pointer, with what is a good one.
    Ptr(u32),
}
use Arg::{Int, Long, Ptr};

/// A name in memory: `a`, a file that is there, at 0; `n` at 1, which is not.
const NAME: [Arg; 2] = [Ptr(0), Int(1)];
const NEW: [Arg; 2] = [Ptr(1), Int(1)];

/// Every function that takes pointers, with arguments that are good for it: descriptor 3 is a
/// directory, 4 a connected socket, 5 one that listens, 6 a file.
fn functions() -> Vec<(&'static str, Vec<Arg>)> {
    let io = |fd| vec![Int(fd), Ptr(IOVECS), Int(1), Ptr(OUT)];
    let at = |fd| vec![Int(fd), Ptr(IOVECS), Int(1), Long(0), Ptr(OUT)];
    let path = |before: &[Arg], path: [Arg; 2], after: &[Arg]| [before, &path, after].concat();
    vec![
        ("args_get", vec![Ptr(OUT), Ptr(OUT + 64)]),
        ("args_sizes_get", vec![Ptr(OUT), Ptr(OUT + 4)]),
        ("environ_get", vec![Ptr(OUT), Ptr(OUT + 64)]),
        ("environ_sizes_get", vec![Ptr(OUT), Ptr(OUT + 4)]),
        ("clock_res_get", vec![Int(1), Ptr(OUT)]),
        ("clock_time_get", vec![Int(1), Long(0), Ptr(OUT)]),
        ("fd_fdstat_get", vec![Int(FILE), Ptr(OUT)]),
        ("fd_filestat_get", vec![Int(FILE), Ptr(OUT)]),
        ("fd_pread", at(FILE)),
        ("fd_prestat_get", vec![Int(3), Ptr(OUT)]),
        ("fd_prestat_dir_name", vec![Int(3), Ptr(OUT), Int(1)]),
        ("fd_pwrite", at(FILE)),
        ("fd_read", io(FILE)),
        ("fd_read", io(0)),
        ("fd_read", io(4)),
        (
            "fd_readdir",
            vec![Int(3), Ptr(OUT), Int(100), Long(0), Ptr(OUT + 200)],
        ),
        ("fd_seek", vec![Int(FILE), Long(0), Int(1), Ptr(OUT)]),
        ("fd_tell", vec![Int(FILE), Ptr(OUT)]),
        ("fd_write", io(FILE)),
        ("fd_write", io(1)),
        ("fd_write", io(2)),
        ("fd_write", io(4)),
        ("path_create_directory", path(&[Int(3)], NEW, &[])),
        (
            "path_filestat_get",
            path(&[Int(3), Int(0)], NAME, &[Ptr(OUT)]),
        ),
        (
            "path_filestat_set_times",
            path(&[Int(3), Int(0)], NAME, &[Long(0), Long(0), Int(0)]),
        ),
        (
            "path_link",
            path(&[Int(3), Int(0)], NAME, &path(&[Int(3)], NEW, &[])),
        ),
        (
            "path_open",
            path(
                &[Int(3), Int(0)],
                NAME,
                &[Int(0), Long(2), Long(0), Int(0), Ptr(OUT)],
            ),
        ),
        (
            "path_readlink",
            path(&[Int(3)], NAME, &[Ptr(OUT), Int(100), Ptr(OUT + 200)]),
        ),
        ("path_remove_directory", path(&[Int(3)], NEW, &[])),
        (
            "path_rename",
            path(&[Int(3)], NAME, &path(&[Int(3)], NAME, &[])),
        ),
        ("path_symlink", path(&[], NAME, &path(&[Int(3)], NEW, &[]))),
        ("path_unlink_file", path(&[Int(3)], NEW, &[])),
        // Zeroes are a subscription to the calendar, for no time at all.
        (
            "poll_oneoff",
            vec![Ptr(1024), Ptr(OUT), Int(1), Ptr(OUT + 64)],
        ),
        ("random_get", vec![Ptr(OUT), Int(8)]),
        ("sock_accept", vec![Int(5), Int(0), Ptr(OUT)]),
        (
            "sock_recv",
            vec![Int(4), Ptr(IOVECS), Int(1), Int(0), Ptr(OUT), Ptr(OUT + 4)],
        ),
        (
            "sock_send",
            vec![Int(4), Ptr(IOVECS), Int(1), Int(0), Ptr(OUT)],
        ),
    ]
}

/// A module with a trampoline to each function.
fn trampolines(module: &str, functions: &[(&str, Vec<Arg>)]) -> String {
    let (mut imports, mut bodies) = (String::new(), String::new());
    let mut seen = Vec::new();
    for (name, args) in functions {
        if seen.contains(name) {
            continue;
        }
        seen.push(name);
        let types: Vec<&str> = args
            .iter()
            .map(|arg| if matches!(arg, Long(_)) { "i64" } else { "i32" })
            .collect();
        let types = types.join(" ");
        let gets: String = (0..args.len())
            .map(|index| format!("(local.get {index})"))
            .collect();
        write!(
            imports,
            "(import \"{module}\" \"{name}\" (func ${name} (param {types}) (result i32)))"
        )
        .expect("room");
        write!(
            bodies,
            "(func (export \"{name}\") (param {types}) (result i32) (call ${name} {gets}))"
        )
        .expect("room");
    }
    format!(
        "(module {imports} (memory (export \"memory\") 1 1) (data (i32.const 0) \"an\") {bodies})"
    )
}

struct World {
    store: Store<WasiCtx>,
    instance: Instance,
    _peers: (UnixStream, tempfile::TempDir),
}

impl World {
    fn new(linker: &Linker<WasiCtx>, module: &str, functions: &[(&str, Vec<Arg>)]) -> World {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("a"), "content").expect("a file");
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let listener = UnixListener::bind(directory.path().join("socket")).expect("a listener");
        ours.set_nonblocking(true).expect("a socket");
        listener.set_nonblocking(true).expect("a socket");
        let mut builder = WasiCtxBuilder::new();
        builder
            .args(["program", "argument"])
            .env("name", "value")
            .stdin(Input::bytes(*b"input"))
            .stdout(Output::Capture)
            .socket(ours)
            .socket(listener);
        builder
            .preopen_dir(directory.path(), "/", Perms::ReadWrite)
            .expect("the directory");
        let mut store = Store::new(builder.build().expect("a world"));
        let compiled = compile(trampolines(module, functions).as_bytes());
        let instance = linker
            .instantiate(&mut store, &compiled)
            .expect("all imports");
        let mut world = World {
            store,
            instance,
            _peers: (theirs, directory),
        };
        world.iovec(OUT, 4);
        let open = [
            Int(3),
            Int(0),
            Ptr(0),
            Int(1),
            Int(0),
            Long(0xff_ffff),
            Long(0),
            Int(0),
            Ptr(OUT),
        ];
        assert_eq!(world.call("path_open", &open), 0);
        world
    }

    /// Puts one iovec where the functions look for it.
    fn iovec(&mut self, address: u32, len: u32) {
        let memory = self
            .instance
            .memory(&self.store, "memory")
            .expect("a memory");
        let bytes = [address.to_le_bytes(), len.to_le_bytes()].concat();
        memory
            .write(&mut self.store, u64::from(IOVECS), &bytes)
            .expect("room");
    }

    fn call(&mut self, name: &str, args: &[Arg]) -> u32 {
        let Some(Extern::Func(func)) = self.instance.export(&self.store, name) else {
            panic!("no {name}");
        };
        let args: Vec<Val> = args
            .iter()
            .map(|arg| match *arg {
                Int(value) => Val::I32(value),
                Long(value) => Val::I64(value),
                Ptr(address) => Val::I32(address as i32),
            })
            .collect();
        let mut results = [Val::I32(0)];
        func.call(&mut self.store, &args, &mut results)
            .expect("no trap");
        match results {
            [Val::I32(errno)] => errno as u32,
            _ => panic!("{name} answers something else"),
        }
    }
}

/// Calls every function with each pointer in turn pointing where no memory is.
fn check(module: &str) {
    let mut functions = functions();
    if module == "wasi_unstable" {
        functions.retain(|(name, _)| *name != "sock_accept");
    }
    let mut world = World::new(&linker(), module, &functions);
    let mut pointers = 0;
    for (name, args) in &functions {
        for (index, arg) in args.iter().enumerate() {
            let Ptr(_) = arg else { continue };
            pointers += 1;
            for bad in [SIZE, u32::MAX, i32::MAX as u32] {
                let mut changed = args.clone();
                changed[index] = Ptr(bad);
                let errno = world.call(name, &changed);
                assert_eq!(
                    errno, FAULT,
                    "{module} {name}, argument {index} is {bad:#x}"
                );
            }
        }
    }
    assert!(pointers > 60, "{pointers}");
    // Nothing of all that was done: the file is as it was, no other descriptor open.
    assert_eq!(world.call("fd_fdstat_get", &[Int(FILE + 1), Ptr(OUT)]), 8);
    assert_eq!(world.store.data().stdout(), b"");
    for (name, args) in &functions {
        assert_ne!(
            world.call(name, args),
            FAULT,
            "{module} {name} with good pointers"
        );
    }
    check_iovecs(&mut world, module);
}

/// The same for the pointers that stand in memory.
fn check_iovecs(world: &mut World, module: &str) {
    for (address, len) in [
        (SIZE, 1),
        (SIZE - 1, 2),
        (1, SIZE),
        (u32::MAX, 1),
        (1, u32::MAX),
        (u32::MAX, u32::MAX),
    ] {
        world.iovec(address, len);
        for (name, args) in functions() {
            if args.iter().any(|arg| matches!(arg, Ptr(IOVECS))) {
                let errno = world.call(name, &args);
                assert_eq!(errno, FAULT, "{module} {name} to {address:#x}+{len:#x}");
            }
        }
    }
}

#[test]
fn bad_pointers_are_faults_in_preview_1() {
    check("wasi_snapshot_preview1");
}

#[test]
fn bad_pointers_are_faults_in_unstable() {
    check("wasi_unstable");
}

#[test]
fn a_guest_without_memory_gets_faults() {
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (func (export "random") (result i32) (call $random (i32.const 0) (i32.const 8)))
        (func (export "yield") (result i32) (call $yield)))"#;
    let mut store = Store::new(WasiCtxBuilder::new().build().expect("a world"));
    let instance = linker()
        .instantiate(&mut store, &compile(wat.as_bytes()))
        .expect("all imports");
    let random = instance
        .func::<(), u32>(&store, "random")
        .expect("a function");
    assert_eq!(random.call(&mut store, ()).expect("no trap"), FAULT);
    let yields = instance
        .func::<(), u32>(&store, "yield")
        .expect("a function");
    assert_eq!(yields.call(&mut store, ()).expect("no trap"), 0);
}

/// Both modules have all their functions: a guest that imports each can be instantiated.
#[test]
fn no_function_is_missing() {
    let other = [
        ("fd_advise", "i32 i64 i64 i32"),
        ("fd_allocate", "i32 i64 i64"),
        ("fd_close", "i32"),
        ("fd_datasync", "i32"),
        ("fd_fdstat_set_flags", "i32 i32"),
        ("fd_fdstat_set_rights", "i32 i64 i64"),
        ("fd_filestat_set_size", "i32 i64"),
        ("fd_filestat_set_times", "i32 i64 i64 i32"),
        ("fd_renumber", "i32 i32"),
        ("fd_sync", "i32"),
        ("proc_raise", "i32"),
        ("sched_yield", ""),
        ("sock_shutdown", "i32 i32"),
    ];
    let pointers: std::collections::BTreeSet<_> =
        functions().into_iter().map(|(name, _)| name).collect();
    // And `proc_exit`: 46 in all.
    assert_eq!(pointers.len() + other.len() + 1, 46);
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        let imports: String = other
            .iter()
            .map(|(name, types)| {
                format!("(import \"{module}\" \"{name}\" (func (param {types}) (result i32)))")
            })
            .collect();
        let wat =
            format!("(module {imports} (import \"{module}\" \"proc_exit\" (func (param i32))))");
        let mut store = Store::new(WasiCtxBuilder::new().build().expect("a world"));
        linker()
            .instantiate(&mut store, &compile(wat.as_bytes()))
            .expect("all imports");
    }
}

/// Numbers that functions get wrong.
const ODD: [i64; 20] = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    64,
    4096,
    65_535,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    0xffff_ffff,
    i64::MAX,
    -1,
];

/// Calls functions with arguments picked from [`ODD`]: whatever they answer, the host lives.
#[test]
fn no_arguments_hurt_the_host() {
    let mut functions = functions();
    let more: [(&str, &[Arg]); 8] = [
        ("fd_advise", &[Int(0), Long(0), Long(0), Int(0)]),
        ("fd_close", &[Int(0)]),
        ("fd_datasync", &[Int(0)]),
        ("fd_fdstat_set_rights", &[Int(0), Long(0), Long(0)]),
        ("fd_filestat_set_size", &[Int(0), Long(0)]),
        ("fd_filestat_set_times", &[Int(0), Long(0), Long(0), Int(0)]),
        ("fd_renumber", &[Int(0), Int(0)]),
        ("sock_shutdown", &[Int(0), Int(0)]),
    ];
    functions.extend(more.map(|(name, args)| (name, args.to_vec())));
    // It could sleep for centuries. And `fd_fdstat_set_flags` would make others wait.
    functions.retain(|(name, _)| *name != "poll_oneoff");
    let linker = linker();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut pick = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 20) as usize % below
    };
    let mut answers = std::collections::BTreeSet::new();
    for _ in 0..40 {
        // Sooner or later all descriptors are closed.
        let mut world = World::new(&linker, "wasi_snapshot_preview1", &functions);
        for _ in 0..500 {
            let (name, args) = &functions[pick(functions.len())];
            let args: Vec<Arg> = args
                .iter()
                .map(|arg| match arg {
                    _ if pick(3) == 0 => *arg,
                    Long(_) => Long(ODD[pick(ODD.len())]),
                    Int(_) | Ptr(_) => Int(ODD[pick(ODD.len())] as i32),
                })
                .collect();
            answers.insert(world.call(name, &args));
        }
    }
    assert!(answers.len() > 10, "{answers:?}");
    assert!(!answers.contains(&52), "no function is missing");
}
