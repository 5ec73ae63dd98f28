//! What goes wrong has a name, and leaves the process as it was.

use base::DType::{F32, I64};
use base::ErrorKind;
use ort_rs::Tensor;
use ort_rs::runtime::{Options, environment};
use testkit::{Builder, model};

use super::{CUDA, floats, load, numbers, on_fake, options, run};

fn exponential() -> Builder {
    model(17).input("x", F32, &["n"]).node("Exp", &["x"], &["y"]).output("y")
}

/// The cause is told, the provider is not listed, and the CPU runs what was to run on the device, unless that is forbidden.
fn absent(name: &str, settings: &[(&str, &str)], cause: &'static str) {
    on_fake(name, settings, move || {
        let environment = environment([]).expect("the operators fit together");
        assert_eq!(environment.providers(), ["CPUExecutionProvider"]);
        let why = environment.absent(CUDA).expect("a cause");
        assert!(why.contains(cause), "{why}");
        let session = load(&exponential(), options(&[], &[])).expect("the CPU is there");
        assert_eq!(session.providers(), ["CPUExecutionProvider"]);
        assert_eq!(floats(&run(&session, &[("x", numbers(F32, &[3], 1).into())]).expect("runs")[0]).len(), 3);
        let e = load(&exponential(), options(&[], &[("session.disable_cpu_ep_fallback", "1")])).err().expect("forbidden");
        assert!(e.message().contains("explicitly disabled by the user") && e.message().contains(cause), "{e}");
    });
}

#[test]
fn an_old_driver() {
    absent("causes::an_old_driver", &[("FAKE_CUDA_VERSION", "11080")], "the CUDA driver is of version 11.8; 12.0 or newer is needed");
}

#[test]
fn no_device() {
    absent("causes::no_device", &[("FAKE_CUDA_DEVICES", "0")], "there is no CUDA device");
}

#[test]
fn a_driver_that_does_not_start() {
    absent("causes::a_driver_that_does_not_start", &[("FAKE_CUDA_INIT", "999")], "does not start (CUDA_ERROR_UNKNOWN");
}

#[test]
fn no_driver() {
    // The folder where the driver is looked for has none.
    absent("causes::no_driver", &[("LD_LIBRARY_PATH", "/nowhere")], "no CUDA driver can be loaded (libcuda.so.1: cannot open");
}

#[test]
fn the_cpu_cannot_be_asked_for_and_forbidden() {
    let config = [("session.disable_cpu_ep_fallback".to_owned(), "1".to_owned())];
    let options = Options { providers: vec!["CPUExecutionProvider".into()], config: config.into(), ..Options::default() };
    let e = load(&exponential(), options).err().expect("a conflict");
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
    assert!(e.message().contains("Conflicting session configuration"), "{e}");
}

#[test]
fn it_is_listed_where_it_works() {
    on_fake("causes::it_is_listed_where_it_works", &[], || {
        let environment = environment([]).expect("the operators fit together");
        assert_eq!(environment.providers(), [CUDA, "CPUExecutionProvider"]);
        assert_eq!(environment.absent(CUDA), None);
        let session = load(&exponential(), options(&[], &[])).expect("loads");
        assert_eq!(session.providers(), [CUDA, "CPUExecutionProvider"]);
        assert_eq!(load(&exponential(), Options::default()).expect("loads").providers(), ["CPUExecutionProvider"], "only if asked for");
    });
}

#[test]
fn options_are_understood() {
    on_fake("causes::options_are_understood", &[("FAKE_CUDA_DEVICES", "2")], || {
        let e = load(&exponential(), options(&[("device_id", "2")], &[])).err().expect("too many");
        assert!(e.message().contains("device_id is 2, but there are 2 CUDA devices"), "{e}");
        let e = load(&exponential(), options(&[("colour", "red")], &[])).err().expect("unknown");
        assert!(e.message().contains("colour"), "{e}");
        let session = load(&exponential(), options(&[("device_id", "1"), ("arena_extend_strategy", "kSameAsRequested")], &[]));
        let y = run(&session.expect("loads"), &[("x", numbers(F32, &[5], 1).into())]).expect("runs");
        assert_eq!(floats(&y[0]).len(), 5);
        // The null stream, as a caller's own.
        let session = load(&exponential(), options(&[("user_compute_stream", "0"), ("has_user_compute_stream", "1")], &[]));
        assert!(run(&session.expect("loads"), &[("x", numbers(F32, &[5], 1).into())]).is_ok());
    });
}

#[test]
fn a_limit_is_kept() {
    on_fake("causes::a_limit_is_kept", &[], || {
        for strategy in ["kNextPowerOfTwo", "kSameAsRequested"] {
            let session = load(&exponential(), options(&[("gpu_mem_limit", "100000"), ("arena_extend_strategy", strategy)], &[]));
            let session = session.expect("loads");
            let feed = |n: usize| [("x", numbers(F32, &[n], 1).into())];
            assert!(run(&session, &feed(1000)).is_ok());
            let e = run(&session, &feed(30_000)).expect_err("120000 bytes");
            assert!(e.message().contains("do not fit into gpu_mem_limit=100000 of CUDA device 0"), "{e}");
            assert!(run(&session, &feed(1000)).is_ok(), "the session is as it was");
            for n in [9000, 10, 11_000, 200, 24_000, 1] {
                run(&session, &feed(n)).unwrap_or_else(|e| panic!("{n} elements fit whatever was there before: {e}"));
            }
        }
    });
}

#[test]
fn a_device_that_is_full() {
    on_fake("causes::a_device_that_is_full", &[("FAKE_CUDA_MEMORY", "300000")], || {
        let session = load(&exponential(), options(&[], &[])).expect("loads");
        let feed = |n: usize| [("x", numbers(F32, &[n], 1).into())];
        let e = run(&session, &feed(100_000)).expect_err("more than there is");
        assert!(e.message().contains("has no") && e.message().contains("CUDA_ERROR_OUT_OF_MEMORY"), "{e}");
        assert!(run(&session, &feed(100)).is_ok(), "the session is as it was");
    });
}

#[test]
fn a_launch_that_fails() {
    on_fake("causes::a_launch_that_fails", &[("FAKE_CUDA_FAIL", "unary_Exp_f32")], || {
        let session = load(&exponential(), options(&[], &[])).expect("loads");
        let e = run(&session, &[("x", numbers(F32, &[5], 1).into())]).expect_err("the driver refuses");
        assert_eq!((e.kind(), e.op(), e.node()), (ErrorKind::EpFail, Some("Exp"), Some("exp_0")));
        assert!(e.message().contains("launch unary_Exp_f32") && e.message().contains("CUDA_ERROR_LAUNCH_FAILED"), "{e}");
        let other = model(17).input("x", F32, &["n"]).node("Neg", &["x"], &["y"]).output("y");
        assert!(run(&load(&other, options(&[], &[])).expect("loads"), &[("x", numbers(F32, &[5], 1).into())]).is_ok());
    });
}

#[test]
fn a_module_that_does_not_compile() {
    on_fake("causes::a_module_that_does_not_compile", &[("FAKE_CUDA_DAMAGED", "unary_Exp_f32")], || {
        let session = load(&exponential(), options(&[], &[])).expect("loads");
        let e = run(&session, &[("x", numbers(F32, &[5], 1).into())]).expect_err("the driver refuses");
        assert!(e.message().contains("cannot compile unary") && e.message().contains("damaged on purpose"), "{e}");
    });
}

#[test]
fn an_index_out_of_range() {
    on_fake("causes::an_index_out_of_range", &[], || {
        let m = model(17).input("x", F32, &["a", "3"]).input("i", I64, &["n"]).node("Gather", &["x", "i"], &["y"]).output("y");
        let session = load(&m, options(&[], &[])).expect("loads");
        let of = |i: i64| [("x", numbers(F32, &[4, 3], 1).into()), ("i", Tensor::from_slice([1], &[i]).expect("one").into())];
        let e = run(&session, &of(4)).expect_err("beyond the end");
        assert_eq!((e.op(), e.node()), (Some("Gather"), Some("gather_0")));
        assert!(e.message().contains("idx=4 must be within the inclusive range [-4,3]"), "{e}");
        assert!(run(&session, &of(-4)).is_ok(), "it is told once");
    });
}

#[test]
fn many_threads_share_a_session() {
    on_fake("causes::many_threads_share_a_session", &[], || {
        let session = load(&exponential(), options(&[], &[])).expect("loads");
        let cpu = load(&exponential(), Options::default()).expect("loads");
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (session, cpu) = (&session, &cpu);
                scope.spawn(move || {
                    for n in [10, 1000, 333] {
                        let feed = [("x", numbers(F32, &[n], seed).into())];
                        let (a, b) = (run(session, &feed).expect("runs"), run(cpu, &feed).expect("runs"));
                        assert!(floats(&a[0]).iter().zip(floats(&b[0])).all(|(a, b)| (a - b).abs() < 1e-5 * b.abs().max(1.0)));
                    }
                });
            }
        });
    });
}
