//! What files of kernels say that they are compiled for.

#[path = "../build/architecture.rs"]
mod architecture;

use architecture::Architecture;

fn wanted(source: &str) -> Result<Vec<String>, String> {
    Ok(Architecture::wanted(source)?.iter().map(ToString::to_string).collect())
}

#[test]
fn files_say_what_they_need() {
    assert_eq!(wanted("#include <x>\n").unwrap(), ["75", "80"]);
    assert_eq!(wanted("// Products.\n// compute: 80\n").unwrap(), ["80"]);
    assert_eq!(wanted("// compute: 90a 80 90 80\n").unwrap(), ["80", "90", "90a"]);
}

#[test]
fn what_is_no_architecture_is_an_error() {
    for bad in ["// compute:", "// compute: fast", "// compute: a", "// compute: 90ab"] {
        assert!(wanted(bad).is_err(), "{bad}");
    }
}
