//! The server as clients see it: answers, isolation, hostile programs, and its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The programs, their routes being their names.
const GUESTS: &[&str] = &[
    "hello", "echo", "keep", "fail", "mumble", "spin", "sleep", "hog", "bomb", "trap", "flood",
];
/// What each may run, in milliseconds.
const DEADLINE: u64 = 250;
/// What each may have, in MiB.
const MEMORY: u64 = 16;

/// A server that ends with the test.
struct Server {
    child: Child,
    address: SocketAddr,
    rest: BufReader<std::process::ChildStdout>,
    _objects: tempfile::TempDir,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let objects = tempfile::tempdir().expect("a folder");
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge-server"));
        for name in GUESTS {
            let object = objects.path().join(format!("{name}.so"));
            compile(&guests.join(format!("{name}.wasm")), &object);
            command
                .arg("--module")
                .arg(format!("/{name}={}", object.display()));
        }
        let (deadline, memory) = (DEADLINE.to_string(), MEMORY.to_string());
        command
            .args([
                "--listen",
                "127.0.0.1:0",
                "--deadline",
                &deadline,
                "--memory",
                &memory,
            ])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the server starts");
        let mut rest = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut line = String::new();
        rest.read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.unwrap_or_else(|| panic!("it said {line:?}"));
        Self {
            address: address.parse().expect("an address"),
            child,
            rest,
            _objects: objects,
        }
    }

    fn get(&self, path: &str) -> Reply {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
    }

    fn post(&self, path: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn send(&self, request: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        // A server that closes early has answered already.
        let _ = stream.write_all(request.as_bytes());
        Reply::read(&mut stream)
    }

    fn stats(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/stats.json").body).expect("it is JSON")
    }

    fn signal(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server has no compiler: what it runs was made before, by the command.
fn compile(wasm: &Path, object: &Path) {
    let precast = Path::new(env!("CARGO_BIN_EXE_edge-server")).with_file_name("precast");
    assert!(
        precast.exists(),
        "{} is not built: `make edge-test` builds it",
        precast.display()
    );
    let mut command = Command::new(precast);
    command.arg("compile").arg(wasm).arg("-o").arg(object);
    let output = command.output().expect("it can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", wasm.display());
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn read(stream: &mut TcpStream) -> Self {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer in time");
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Self {
            status: status.expect("it has a status"),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }
}

#[test]
fn programs_see_the_request_and_answer_it() {
    let server = Server::start(&["--max-body", "100000"]);
    let reply = server.get("/hello?you");
    assert_eq!((reply.status, &*reply.body), (200, "Hello, you!\n"));
    assert!(
        reply.head.contains("content-type: text/plain"),
        "{}",
        reply.head
    );

    let body = "0123456789".repeat(10_000);
    let reply = server.post("/echo/below?q=1", "User-Agent: test\r\n", &body);
    assert_eq!(reply.status, 201);
    assert_eq!(reply.body, format!("POST /below?q=1 from test\n{body}"));

    assert_eq!(server.get("/nowhere").status, 404);
    assert_eq!(server.get("/helloes").status, 404);
    assert_eq!(server.post("/echo", "", &"x".repeat(100_001)).status, 413);
    assert_eq!(server.get("/fail").status, 502);
    assert_eq!(server.get("/mumble").status, 502);
    let page = server.get("/stats");
    assert!(
        page.status == 200 && page.body.contains("/mumble"),
        "{}",
        page.body
    );
    let stats = server.stats();
    assert_eq!(stats["routes"]["/hello"]["answered"], 1, "{stats}");
    assert_eq!(stats["routes"]["/fail"]["failed"], 1, "{stats}");
    assert_eq!(stats["strays"], 2, "{stats}");
    assert_eq!(stats["pool"]["live"], 0, "{stats}");
}

#[test]
fn nothing_is_left_of_earlier_requests() {
    let server = Server::start(&["--tenant-header", "x-tenant", "--slots", "2"]);
    for round in 0..40 {
        let tenant = format!("X-Tenant: {}\r\n", round % 3);
        let reply = server.post("/keep", &tenant, "s3cr3t");
        assert_eq!(
            (reply.status, reply.body.trim()),
            (200, "0"),
            "round {round}"
        );
        let reply = server.post("/echo", &tenant, "another secret");
        assert!(
            reply.head.contains("x-earlier: 0\r\n"),
            "round {round}: {}",
            reply.head
        );
        assert!(
            reply.head.contains("x-kept: \r\n"),
            "round {round}: {}",
            reply.head
        );
    }
    let stats = server.stats();
    assert!(
        stats["pool"]["made"].as_u64() < Some(10),
        "slots are used again: {stats}"
    );
}

#[test]
fn hostile_programs_hurt_only_themselves() {
    let server = Server::start(&["--max-answer", "100000"]);
    let expected = |name: &str, reply: &Reply| match name {
        "spin" | "sleep" => assert_eq!(reply.status, 504, "{name}"),
        // Either its answer is too much, or its time is over.
        "flood" => assert!(
            [502, 504].contains(&reply.status),
            "{name} {}",
            reply.status
        ),
        "hog" => {
            let got: u64 = reply.body.trim().parse().expect("a number");
            assert!(
                reply.status == 200 && (1..=MEMORY).contains(&got),
                "it got {got} MiB"
            );
        }
        _ => assert_eq!(reply.status, 502, "{name}"),
    };
    std::thread::scope(|scope| {
        for name in ["spin", "sleep", "hog", "bomb", "trap", "flood"] {
            let (server, expected) = (&server, &expected);
            scope.spawn(move || {
                for _ in 0..3 {
                    expected(name, &server.get(&format!("/{name}")));
                }
            });
        }
        for client in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..50 {
                    let who = format!("{client}-{round}");
                    let reply = server.get(&format!("/hello?{who}"));
                    assert_eq!(
                        (reply.status, reply.body),
                        (200, format!("Hello, {who}!\n"))
                    );
                    let reply = server.post("/echo", "", &who);
                    assert_eq!(reply.status, 201);
                    assert!(reply.body.ends_with(&format!("\n{who}")), "{}", reply.body);
                    assert!(reply.head.contains("x-earlier: 0\r\n"), "{}", reply.head);
                }
            });
        }
    });
    let stats = server.stats();
    assert_eq!(stats["routes"]["/hello"]["answered"], 200, "{stats}");
    assert_eq!(stats["routes"]["/spin"]["late"], 3, "{stats}");
    assert_eq!(stats["routes"]["/trap"]["trapped"], 3, "{stats}");
    assert_eq!(stats["routes"]["/bomb"]["trapped"], 3, "{stats}");
    assert_eq!(
        (&stats["pool"]["live"], &stats["pool"]["lost"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn too_many_at_a_time_are_turned_away() {
    let server = Server::start(&["--slots", "2"]);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients = [(); 8].map(|()| scope.spawn(|| server.get("/sleep").status));
        clients
            .into_iter()
            .map(|client| client.join().expect("it is answered"))
            .collect()
    });
    let count = |wanted| statuses.iter().filter(|&&status| status == wanted).count();
    assert!(count(503) > 0 && count(504) >= 2, "{statuses:?}");
    assert_eq!(count(503) + count(504), 8, "{statuses:?}");
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn requests_in_work_are_answered_before_it_ends() {
    let mut server = Server::start(&[]);
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    stream
        .write_all(b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("it reads");
    let mut idle = TcpStream::connect(server.address).expect("it listens");
    let begun = Instant::now();
    while server.stats()["in_work"] == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the request does not arrive"
        );
    }
    server.signal();
    assert_eq!(Reply::read(&mut stream).status, 504);
    let mut byte = [0];
    assert!(
        matches!(idle.read(&mut byte), Ok(0) | Err(_)),
        "idle connections are closed"
    );
    let status = server.child.wait().expect("it ends");
    assert!(status.success(), "{status}");
    let mut said = String::new();
    server
        .rest
        .read_to_string(&mut said)
        .expect("it closed its output");
    assert_eq!(said, "ended\n");
    TcpStream::connect(server.address).expect_err("nobody listens any more");
}

#[test]
fn programs_run_on_the_threads_of_connections_too() {
    for how in ["workers", "slices"] {
        let server = Server::start(&["--run-on", how]);
        assert_eq!(server.get("/hello").body, "Hello, world!\n");
        assert_eq!(server.get("/spin").status, 504, "{how}");
        assert_eq!(server.get("/sleep").status, 504, "{how}");
        assert_eq!(server.get("/bomb").status, 502, "{how}");
        assert_eq!(server.get("/hello").body, "Hello, world!\n");
    }
}

#[test]
fn programs_in_slices_take_turns() {
    let server = Server::start(&["--run-on", "slices", "--deadline", "3000"]);
    std::thread::scope(|scope| {
        // More of them than there are threads to run them.
        let threads = std::thread::available_parallelism().map_or(2, usize::from) + 2;
        for _ in 0..threads {
            scope.spawn(|| assert_eq!(server.get("/spin").status, 504));
        }
        let begun = Instant::now();
        while server.stats()["in_work"].as_u64() < Some(threads as u64) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "they do not arrive"
            );
        }
        for _ in 0..5 {
            assert_eq!(server.get("/hello").status, 200);
        }
        let stats = server.stats();
        assert_eq!(
            stats["routes"]["/spin"]["late"], 0,
            "they still run: {stats}"
        );
    });
}
