//! Values that lie on the device before and after a run.

use base::DType::{Bool, F32, I64};
use base::{ErrorKind, Memory};
use ort_rs::runtime::cuda::{Commons, memory_of};
use ort_rs::runtime::{Destination, Options, Session};
use ort_rs::{Result, RunOptions, Tensor, Value};
use testkit::{Builder, model};

use super::{floats, load, logged, numbers, on_fake, on_fake_logged, options, run};

/// Two chains, one of which goes through the host.
fn chains() -> Builder {
    let m = model(17).input("x", F32, &["n", "4"]).node("Exp", &["x"], &["e"]).node("Neg", &["e"], &["y"]);
    m.node("Hardmax", &["x"], &["s"]).node("Neg", &["s"], &["z"]).output("y").output("z")
}

fn on_device(ordinal: u16, tensor: &Tensor) -> Tensor {
    Commons::of(ordinal).and_then(|commons| commons.copy_of(tensor.as_ref())).expect("room")
}

fn on_host(tensor: &Tensor) -> Tensor {
    Commons::around(&tensor.as_ref()).and_then(|commons| commons.to_host(tensor.as_ref())).expect("reached")
}

fn run_to(session: &Session, feed: &Value, names: &[&str], destinations: &[Option<&Destination>]) -> Result<Vec<Value>> {
    session.run_into(&[Some(feed)], names, destinations, &RunOptions::default())
}

fn assert_alike(a: &Value, b: &Value) {
    let near = |(a, b): (f64, f64)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    assert!(floats(a).into_iter().zip(floats(b)).all(near), "{a:?} is not {b:?}");
}

#[test]
fn nothing_is_copied_that_need_not_be() {
    on_fake_logged("values::nothing_is_copied_that_need_not_be", &[], |log| {
        let m = model(17).input("x", F32, &["n"]).node("Exp", &["x"], &["e"]).node("Neg", &["e"], &["y"]).output("y");
        let session = load(&m, options(&[], &[])).expect("loads");
        let host = numbers(F32, &[33], 1);
        let expected = run(&load(&m, Options::default()).expect("loads"), &[("x", host.clone().into())]).expect("runs");
        let x = Value::from(on_device(0, &host));
        let kept = Destination::in_memory(memory_of(0));
        let copies = || ["to_device", "to_host", "on_device"].map(|word| logged(log, word));
        let before = copies();
        let y = run_to(&session, &x, &["y"], &[Some(&kept)]).expect("runs");
        assert_eq!(copies(), before, "input and output lie on the device");
        let y = y[0].tensor().expect("a tensor").clone();
        assert_eq!(y.memory(), memory_of(0));
        assert_alike(&on_host(&y).into(), &expected[0]);
        // Again into the same memory, then to the host, then from the host: each run finds the memory it needs.
        // SAFETY: nobody else has it.
        let again = unsafe { Destination::new(y.clone()) }.expect("dense");
        let z = run_to(&session, &x, &["y"], &[Some(&again)]).expect("runs");
        assert_eq!((z[0].tensor().expect("a tensor").address(), copies()[2]), (y.address(), before[2]));
        for feed in [x.clone(), host.clone().into(), x.clone()] {
            let z = run(&session, &[("x", feed)]).expect("runs");
            assert_alike(&z[0], &expected[0]);
        }
        assert_alike(&on_host(x.tensor().expect("a tensor")).into(), &host.into());
    });
}

#[test]
fn what_is_fed_is_never_written_to() {
    on_fake("values::what_is_fed_is_never_written_to", &[], || {
        let graphs: [fn(Builder) -> Builder; 4] = [
            |m| m.node("Relu", &["x"], &["y"]),
            |m| {
                m.constant("flat", &Tensor::from_slice([1], &[-1i64]).unwrap()).node("Reshape", &["x", "flat"], &["r"]).node(
                    "Neg",
                    &["r"],
                    &["y"],
                )
            },
            |m| m.node("Concat", &["x", "x"], &["y"]).int("axis", 0),
            |m| m.node("Identity", &["x"], &["y"]),
        ];
        for graph in graphs {
            let m = graph(model(17).input("x", F32, &["n", "4"])).output("y");
            let session = load(&m, options(&[], &[])).expect("loads");
            for parallel in [false, true] {
                let how = Options { parallel, ..options(&[], &[]) };
                let session = if parallel { load(&m, how).expect("loads") } else { load(&m, options(&[], &[])).expect("loads") };
                check_feed_is_kept(&session, &m);
            }
            check_feed_is_kept(&session, &m);
        }
    });
}

fn check_feed_is_kept(session: &Session, m: &Builder) {
    let host = numbers(F32, &[3, 4], 1);
    let expected = run(&load(m, Options::default()).expect("loads"), &[("x", host.clone().into())]).expect("runs");
    let x = on_device(0, &host);
    let kept = Destination::in_memory(memory_of(0));
    for destination in [Some(&kept), None] {
        let y = run_to(session, &x.clone().into(), &["y"], &[destination]).expect("runs");
        let tensor = y[0].tensor().expect("a tensor");
        assert_ne!(tensor.address(), x.address(), "a result that is the feed would change with it");
        let y = if tensor.memory().is_host() { tensor.clone() } else { on_host(tensor) };
        assert_alike(&y.into(), &expected[0]);
        assert_alike(&on_host(&x).into(), &host.clone().into());
    }
}

#[test]
fn nodes_of_the_host_take_part() {
    on_fake("values::nodes_of_the_host_take_part", &[], || {
        let session = load(&chains(), options(&[], &[])).expect("loads");
        let host = numbers(F32, &[3, 4], 1);
        let expected = run(&load(&chains(), Options::default()).expect("loads"), &[("x", host.clone().into())]).expect("runs");
        let kept = Destination::in_memory(memory_of(0));
        let x = Value::from(on_device(0, &host));
        for destinations in [[Some(&kept), Some(&kept)], [None, Some(&kept)], [Some(&kept), None], [None, None]] {
            for (i, value) in run_to(&session, &x, &["y", "z"], &destinations).expect("runs").iter().enumerate() {
                let tensor = value.tensor().expect("a tensor");
                assert_eq!(tensor.memory(), destinations[i].map_or(Memory::HOST, Destination::memory));
                let tensor = if tensor.memory().is_host() { tensor.clone() } else { on_host(tensor) };
                assert_alike(&tensor.into(), &expected[i]);
            }
        }
        // A value in the middle, and one that the host makes.
        for (name, made) in
            [("e", run(&load(&chains(), Options::default()).expect("loads"), &[("x", host.clone().into())])), ("s", Ok(vec![]))]
        {
            made.expect("runs");
            let y = run_to(&session, &x, &[name], &[Some(&kept)]).expect("runs");
            assert_eq!(y[0].tensor().expect("a tensor").memory(), memory_of(0));
        }
    });
}

#[test]
fn results_can_go_over_what_was_fed() {
    on_fake("values::results_can_go_over_what_was_fed", &[], || {
        let m = model(17).input("x", F32, &["n"]).node("Neg", &["x"], &["y"]).output("y");
        let session = load(&m, options(&[], &[])).expect("loads");
        let x = on_device(0, &numbers(F32, &[9], 1));
        // SAFETY: only the run uses it.
        let over = unsafe { Destination::new(x.clone()) }.expect("dense");
        run_to(&session, &x.clone().into(), &["y"], &[Some(&over)]).expect("runs");
        let negated: Vec<f64> = floats(&numbers(F32, &[9], 1).into()).iter().map(|v| -v).collect();
        assert_eq!(floats(&on_host(&x).into()), negated);
    });
}

#[test]
fn booleans_of_a_device_are_tamed() {
    on_fake("values::booleans_of_a_device_are_tamed", &[], || {
        let m = model(17).input("x", Bool, &["n"]).node("And", &["x", "x"], &["y"]).output("y");
        let bytes = on_device(0, &Tensor::from_slice([3], &[0u8, 2, 255]).expect("three"));
        let x = Tensor::new(Bool, [3].into(), base::Layout::Dense, bytes.buffer().clone(), 0).expect("bytes");
        let y = run(&load(&m, options(&[], &[])).expect("loads"), &[("x", x.into())]).expect("runs");
        assert_eq!(floats(&y[0]), [0.0, 1.0, 1.0]);
    });
}

#[test]
fn other_memories_are_refused_by_name() {
    on_fake("values::other_memories_are_refused_by_name", &[("FAKE_CUDA_DEVICES", "2")], || {
        let session = load(&chains(), options(&[], &[])).expect("loads");
        let host = Value::from(numbers(F32, &[3, 4], 1));
        let far = Value::from(on_device(1, &numbers(F32, &[3, 4], 1)));
        let e = run(&session, &[("x", far.clone())]).expect_err("device 1 is not the session's");
        assert_eq!(e.kind(), ErrorKind::InvalidArgument);
        assert!(e.message().contains("input 'x': no provider of the session reaches the memory of CUDA device 1"), "{e}");
        let e = run_to(&session, &host, &["y"], &[Some(&Destination::in_memory(memory_of(1)))]).expect_err("nor for results");
        assert!(e.message().contains("output 'y'") && e.message().contains("CUDA device 1"), "{e}");
        let cpu = load(&chains(), Options::default()).expect("loads");
        let e = run(&cpu, &[("x", Value::from(on_device(0, &numbers(F32, &[3, 4], 1))))]).expect_err("the CPU reaches none");
        assert!(e.message().contains("input 'x'") && e.message().contains("CUDA device 0"), "{e}");
        let there = load(&chains(), options(&[("device_id", "1")], &[])).expect("loads");
        assert!(run(&there, &[("x", far)]).is_ok() && run(&session, &[("x", host)]).is_ok());
    });
}

#[test]
fn a_result_must_fit_its_memory() {
    on_fake("values::a_result_must_fit_its_memory", &[], || {
        let session = load(&chains(), options(&[], &[])).expect("loads");
        let x = Value::from(numbers(F32, &[3, 4], 1));
        for (shape, dtype, text) in [(&[2usize, 4][..], F32, "{3,4} Requested shape:{2,4}"), (&[3, 4], I64, "tensor(int64)")] {
            let place = on_device(0, &Tensor::zeros(dtype, shape).expect("zeros"));
            // SAFETY: only the run uses it.
            let place = unsafe { Destination::new(place) }.expect("dense");
            let e = run_to(&session, &x, &["y"], &[Some(&place)]).expect_err("it does not fit");
            assert!(e.kind() == ErrorKind::InvalidArgument && e.message().contains(text), "{e}");
        }
        assert!(run(&session, &[("x", x)]).is_ok());
    });
}

#[test]
fn a_bad_index_is_told_by_the_run_that_has_it() {
    on_fake("values::a_bad_index_is_told_by_the_run_that_has_it", &[], || {
        let m = model(17).input("x", F32, &["a"]).input("i", I64, &["n"]).node("Gather", &["x", "i"], &["y"]).output("y");
        let session = load(&m, options(&[], &[])).expect("loads");
        let kept = Destination::in_memory(memory_of(0));
        let gather = |index: i64| {
            let (x, i) = (Value::from(numbers(F32, &[4], 1)), Value::from(Tensor::from_slice([1], &[index]).expect("one")));
            session.run_into(&[Some(&x), Some(&i)], &["y"], &[Some(&kept)], &RunOptions::default())
        };
        std::thread::scope(|scope| {
            for thread in 0..4i64 {
                scope.spawn(move || {
                    for turn in 0..20i64 {
                        let index = if turn % 2 == thread % 2 { turn % 4 } else { 100 + 10 * turn + thread };
                        match gather(index) {
                            Ok(_) => assert!(index < 4, "index {index} was let pass"),
                            Err(e) => assert!(e.message().contains(&format!("idx={index} must")) && e.node() == Some("gather_0"), "{e}"),
                        }
                    }
                });
            }
        });
    });
}
