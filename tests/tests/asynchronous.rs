//! Asynchronous calls and host functions, driven by an executor of a few lines.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use precast::{
    Caller, Error, FuncType, Interruption, Linker, Store, Suspend, UseError, Val, ValType,
};
use precast_tests::guest::{module, trap};

/// Wakes the thread that waits.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
    times: AtomicUsize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() = true;
        self.times.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
    }
}

/// Runs a future to its end. Says how often it was woken.
fn block_on<F: Future>(future: F) -> (F::Output, usize) {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut future = Box::pin(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (result, bell.times.load(Ordering::SeqCst));
        }
        let mut rung = bell.rung.lock().unwrap();
        while !*rung {
            rung = bell.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// Ready after some time, by a thread of its own.
struct Sleep {
    time: Duration,
    started: bool,
    over: Arc<Mutex<bool>>,
}

fn sleep(milliseconds: u64) -> Sleep {
    Sleep {
        time: Duration::from_millis(milliseconds),
        started: false,
        over: Arc::default(),
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if *self.over.lock().unwrap() {
            return Poll::Ready(());
        }
        if !self.started {
            self.started = true;
            let (time, over, waker) = (self.time, Arc::clone(&self.over), context.waker().clone());
            std::thread::spawn(move || {
                std::thread::sleep(time);
                *over.lock().unwrap() = true;
                waker.wake();
            });
        }
        Poll::Pending
    }
}

const GUEST: &str = r#"(module
    (import "h" "add" (func $add (param i32 i32) (result i32)))
    (import "h" "fill" (func $fill (param i32)))
    (import "h" "fail" (func $fail))
    (memory (export "memory") 1)
    (func (export "sum") (param i32) (result i32) (local $sum i32)
        (loop $l
            (local.set $sum (call $add (local.get $sum) (local.get 0)))
            (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $sum))
    (func (export "filled") (result i32) (call $fill (i32.const 8)) (i32.load (i32.const 8)))
    (func (export "fail") (call $fail))
    (func (export "count") (param i32) (result i32)
        (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (i32.const 3))
    (func (export "spin") (loop $l (br $l))))"#;

fn linker() -> Linker<u32> {
    let mut linker = Linker::<u32>::new();
    linker.func_async(
        "h",
        "add",
        |_: Caller<'_, u32>, (a, b): (i32, i32)| async move {
            sleep(1).await;
            Ok(a + b)
        },
    );
    linker.func_async_then(
        "h",
        "fill",
        |_: Caller<'_, u32>, at: i32| async move {
            sleep(1).await;
            Ok(at as usize)
        },
        |caller, at: usize| {
            *caller.data_mut() += 1;
            let (mut memory, _) = caller.memory_and_data().expect("it has a memory");
            memory.write(at, &77i32.to_le_bytes()).expect("within");
            Ok(())
        },
    );
    linker.func_async("h", "fail", |_: Caller<'_, u32>, (): ()| async {
        sleep(1).await;
        Err::<(), _>(Error::host("no luck"))
    });
    linker
}

fn guest() -> (Store<u32>, precast::Instance) {
    let mut store = Store::new(0);
    let instance = linker().instantiate(&mut store, &module(GUEST)).unwrap();
    (store, instance)
}

#[test]
fn host_functions_are_awaited() {
    let (mut store, instance) = guest();
    let sum = instance.func::<i32, i32>(&store, "sum").unwrap();
    let (result, woken) = block_on(sum.call_async(&mut store, 10));
    assert_eq!(result.unwrap(), 55);
    assert_eq!(woken, 10);
    let filled = instance.func::<(), i32>(&store, "filled").unwrap();
    assert_eq!(block_on(filled.call_async(&mut store, ())).0.unwrap(), 77);
    assert_eq!(*store.data(), 1);
    let sum = instance.export(&store, "sum").unwrap().func().unwrap();
    let (results, _) = block_on(sum.call_async(&mut store, &[Val::I32(3)]));
    assert!(matches!(results.unwrap()[..], [Val::I32(6)]));
}

#[test]
fn errors_of_futures_end_the_call() {
    let (mut store, instance) = guest();
    let fail = instance.func::<(), ()>(&store, "fail").unwrap();
    let error = block_on(fail.call_async(&mut store, ())).0.unwrap_err();
    assert_eq!(error.to_string(), "no luck");
    // The store is free again.
    let count = instance.func::<i32, i32>(&store, "count").unwrap();
    assert_eq!(count.call(&mut store, 5).unwrap(), 3);
}

#[test]
fn a_call_that_is_dropped_gives_its_guest_up() {
    let (mut store, instance) = guest();
    let sum = instance.func::<i32, i32>(&store, "sum").unwrap();
    let count = instance.func::<i32, i32>(&store, "count").unwrap();
    let mut call = Box::pin(sum.call_async(&mut store, 10));
    let mut context = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());
    drop(call);
    assert_eq!(count.call(&mut store, 5).unwrap(), 3);
}

#[test]
fn time_slices_let_others_run() {
    let (mut store, instance) = guest();
    store.set_time_slice(Some(Duration::from_millis(1)));
    let count = instance.func::<i32, i32>(&store, "count").unwrap();
    let (result, woken) = block_on(count.call_async(&mut store, 100_000_000));
    assert_eq!(result.unwrap(), 3);
    assert!(woken > 5, "only {woken} turns");
    let spin = instance.func::<(), ()>(&store, "spin").unwrap();
    store.set_deadline(Some(Instant::now() + Duration::from_millis(20)));
    let trap = trap(block_on(spin.call_async(&mut store, ())).0);
    assert_eq!(trap.interruption(), Some(Interruption::Deadline));
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Many calls on two threads, each going on wherever it is taken up.
#[test]
fn calls_move_between_threads() {
    const CALLS: usize = 40;
    let queue = Mutex::new(VecDeque::<Task>::new());
    let done = Arc::new(AtomicUsize::new(0));
    let (linker, module) = (linker(), module(GUEST));
    for _ in 0..CALLS {
        let mut store = Store::new(0);
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let sum = instance.func::<i32, i32>(&store, "sum").unwrap();
        let done = Arc::clone(&done);
        queue.lock().unwrap().push_back(Box::pin(async move {
            store.set_time_slice(Some(Duration::from_micros(50)));
            assert_eq!(sum.call_async(&mut store, 20).await.unwrap(), 210);
            done.fetch_add(1, Ordering::SeqCst);
        }));
    }
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while done.load(Ordering::SeqCst) < CALLS {
                    let task = queue.lock().unwrap().pop_front();
                    let Some(mut task) = task else { continue };
                    let mut context = Context::from_waker(Waker::noop());
                    if task.as_mut().poll(&mut context).is_pending() {
                        queue.lock().unwrap().push_back(task);
                    }
                }
            });
        }
    });
}

#[test]
fn what_cannot_be_awaited_says_so() {
    let (mut store, instance) = guest();
    let sum = instance.func::<i32, i32>(&store, "sum").unwrap();
    let error = sum.call(&mut store, 3).unwrap_err();
    assert!(
        matches!(error, Error::Use(UseError::CannotSuspend)),
        "{error:?}"
    );
    // A function that waits for something else than a future.
    let mut linker = Linker::<()>::new();
    let ty = FuncType::new([], [ValType::I32]);
    linker.func_dynamic("h", "f", ty, |_, _, _| Err(Suspend::new().into()));
    let module = module(
        r#"(module (import "h" "f" (func $f (result i32)))
            (func (export "run") (result i32) (call $f)))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<(), i32>(&store, "run").unwrap();
    let error = block_on(run.call_async(&mut store, ())).0.unwrap_err();
    assert!(
        matches!(error, Error::Use(UseError::CannotSuspend)),
        "{error:?}"
    );
}

#[test]
fn futures_and_errors_may_be_sent() {
    fn is_send<T: Send>(_: &T) {}
    fn is_sync<T: Sync>() {}
    is_sync::<Error>();
    let (mut store, instance) = guest();
    let sum = instance.func::<i32, i32>(&store, "sum").unwrap();
    is_send(&sum.call_async(&mut store, 1));
}
