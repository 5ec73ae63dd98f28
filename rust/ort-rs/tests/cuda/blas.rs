//! Products by cuBLASLt: a library without a device beside the driver without one, and what happens where it is missing or fails.

use base::DType::{BF16, F16, F32, F64};
use base::ErrorKind;
use testkit::{Builder, model};

use super::{compare, load, logged, numbers, on_fake, on_fake_logged, options, run, scaled};

/// Has the library that is beside the driver.
const BLAS: (&str, &str) = ("FAKE_CUBLAS", "1");

fn product() -> Builder {
    let m = model(17).input("x", F32, &["n", "6"]).constant("w", &numbers(F32, &[6, 5], 1)).constant("b", &numbers(F32, &[5], 2));
    m.node("Gemm", &["x", "w", "b"], &["g"]).node("Relu", &["g"], &["y"]).output("y")
}

#[test]
fn products_of_every_form() {
    on_fake_logged("blas::products_of_every_form", &[BLAS], |log| {
        for dtype in [F32, F16, BF16] {
            for (a, b) in [(&[3, 4][..], &[4, 5][..]), (&[2, 3, 7], &[7, 9]), (&[4, 3, 7], &[4, 7, 2]), (&[5], &[5]), (&[2, 3, 5], &[5])] {
                let dims = |shape: &[usize]| shape.iter().map(ToString::to_string).collect::<Vec<_>>();
                let (da, db) = (dims(a), dims(b));
                let m = model(17).input("a", dtype, &da.iter().map(String::as_str).collect::<Vec<_>>());
                let m = m.input("b", dtype, &db.iter().map(String::as_str).collect::<Vec<_>>());
                let m = m.node("MatMul", &["a", "b"], &["y"]).output("y");
                compare(&m, &[("a", scaled(dtype, a, 1, 0.5).into()), ("b", scaled(dtype, b, 2, 0.5).into())], &[]);
            }
            // The addend for each column is the bias of an epilogue, a whole one is C; others are for our own kernels.
            for (c, beta) in [(&[9][..], 1.0), (&[9], 0.5), (&[4, 9], 0.5), (&[4, 1], 1.0), (&[], 1.0)] {
                for form in 0..4i64 {
                    let (ta, tb) = (form & 1, form >> 1);
                    let a = if ta == 1 { [7, 4] } else { [4, 7] };
                    let b = if tb == 1 { [9, 7] } else { [7, 9] };
                    let m = model(17).input("a", dtype, &["i", "j"]).input("b", dtype, &["k", "l"]).constant("c", &numbers(dtype, c, 3));
                    let m = m.node("Gemm", &["a", "b", "c"], &["y"]).int("transA", ta).int("transB", tb);
                    let m = m.float("alpha", 0.5).float("beta", beta).output("y");
                    compare(&m, &[("a", scaled(dtype, &a, 1, 0.5).into()), ("b", scaled(dtype, &b, 2, 0.5).into())], &[]);
                }
            }
        }
        compare(&product(), &[("x", numbers(F32, &[3, 6], 3).into())], &[]);
        let lines = std::fs::read_to_string(log).expect("a log");
        assert_eq!(lines.lines().filter(|l| l.starts_with("launch product")).count(), 2 * 3 * 4 * 3, "what has no epilogue is ours");
        for epilogue in ["1", "4", "6"] {
            let is = |l: &&str| l.starts_with("matmul ") && l.split(' ').nth(3) == Some(epilogue);
            assert!(lines.lines().any(|l| is(&l)), "no product ended with epilogue {epilogue}");
        }
        assert!(lines.lines().filter(|l| l.starts_with("matmul")).all(|l| l.ends_with(" 68")), "nothing is rounded to TF32 unasked");
    });
}

#[test]
fn tf32_is_for_who_asks_and_f64_for_our_kernels() {
    on_fake_logged("blas::tf32_is_for_who_asks_and_f64_for_our_kernels", &[BLAS], |log| {
        let session = load(&product(), options(&[("use_tf32", "1")], &[])).expect("loads");
        run(&session, &[("x", numbers(F32, &[3, 6], 3).into())]).expect("runs");
        assert!(std::fs::read_to_string(log).expect("a log").lines().any(|l| l.starts_with("matmul 5 3 6 77")));
        assert_eq!(session.notes(), ["CUDAExecutionProvider: products by cuBLASLt 120000"]);
        let before = logged(log, "matmul");
        let m = model(17).input("x", F64, &["n", "6"]).constant("w", &numbers(F64, &[6, 5], 1)).node("MatMul", &["x", "w"], &["y"]);
        compare(&m.output("y"), &[("x", numbers(F64, &[3, 6], 3).into())], &[]);
        assert_eq!(logged(log, "matmul"), before);
    });
}

/// Our own kernels compute the products, and the provider says why.
fn by_our_kernels(name: &str, settings: &[(&str, &str)], cause: &'static str) {
    on_fake_logged(name, settings, move |log| {
        let session = compare(&product(), &[("x", numbers(F32, &[3, 6], 3).into())], &[]);
        assert!(logged(log, "matmul") == 0 && std::fs::read_to_string(log).expect("a log").contains("launch product_64_f32"));
        let notes = session.notes();
        assert!(notes.len() == 1 && notes[0].contains(cause), "{notes:?}");
    });
}

#[test]
fn without_the_library() {
    by_our_kernels("blas::without_the_library", &[], "products by own kernels, without cuBLASLt: libcublasLt.so.12: cannot open");
}

#[test]
fn a_library_that_does_not_start() {
    let settings = [BLAS, ("FAKE_CUBLAS_FAIL", "create")];
    by_our_kernels("blas::a_library_that_does_not_start", &settings, "cuBLASLt does not start: CUBLAS_STATUS_NOT_INITIALIZED");
}

#[test]
fn a_library_without_an_algorithm() {
    by_our_kernels("blas::a_library_without_an_algorithm", &[BLAS, ("FAKE_CUBLAS_NONE", "1")], "products by cuBLASLt");
}

#[test]
fn a_library_that_is_not_wanted() {
    on_fake_logged("blas::a_library_that_is_not_wanted", &[BLAS], |log| {
        let session = load(&product(), options(&[("use_cublas", "0")], &[])).expect("loads");
        run(&session, &[("x", numbers(F32, &[3, 6], 3).into())]).expect("runs");
        assert_eq!(logged(log, "matmul"), 0);
        assert_eq!(session.notes(), ["CUDAExecutionProvider: products by own kernels, without cuBLASLt: use_cublas is 0"]);
    });
}

#[test]
fn activations_that_the_library_lacks() {
    on_fake_logged("blas::activations_that_the_library_lacks", &[BLAS], |log| {
        for dtype in [F32, F16, BF16] {
            let m = model(17).opset("com.microsoft", 1).input("x", dtype, &["n", "6"]).constant("w", &numbers(dtype, &[6, 5], 1));
            let m = m.constant("b", &numbers(dtype, &[5], 2)).node_of("com.microsoft", "FusedGemm", &["x", "w", "b"], &["y"]);
            let m = m.string("activation", "Sigmoid").output("y");
            compare(&m, &[("x", scaled(dtype, &[3, 6], 3, 0.5).into())], &[]);
        }
        let lines = std::fs::read_to_string(log).expect("a log");
        let starts = |word: &str| lines.lines().filter(|l| l.starts_with(word)).count();
        assert_eq!((starts("matmul"), starts("launch activate_"), starts("launch product")), (6, 6, 0), "three types, two runs each");
    });
}

#[test]
fn a_product_that_fails() {
    on_fake("blas::a_product_that_fails", &[BLAS, ("FAKE_CUBLAS_FAIL", "matmul")], || {
        let session = load(&product(), options(&[], &[])).expect("loads");
        let e = run(&session, &[("x", numbers(F32, &[3, 6], 1).into())]).expect_err("the library refuses");
        assert_eq!(e.kind(), ErrorKind::EpFail);
        assert!(e.message().contains("multiply 1 matrices of 3 by 6 and 6 by 5") && e.message().contains("EXECUTION_FAILED"), "{e}");
        let other = model(17).input("x", F32, &["n"]).node("Neg", &["x"], &["y"]).output("y");
        assert!(run(&load(&other, options(&[], &[])).expect("loads"), &[("x", numbers(F32, &[5], 1).into())]).is_ok());
    });
}

#[test]
fn workspace_counts_against_the_limit() {
    on_fake("blas::workspace_counts_against_the_limit", &[BLAS], || {
        let session = load(&product(), options(&[("gpu_mem_limit", "3000"), ("arena_extend_strategy", "kSameAsRequested")], &[]));
        let e = run(&session.expect("loads"), &[("x", numbers(F32, &[3, 6], 1).into())]).expect_err("4096 bytes of workspace");
        assert!(e.message().contains("4096 bytes do not fit into gpu_mem_limit=3000"), "{e}");
    });
}
