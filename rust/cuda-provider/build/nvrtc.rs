//! NVRTC: from CUDA C++ to PTX, in this process.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::path::Path;

use libloading::{Library, Symbol};

use crate::architecture::Architecture;

type Program = *mut c_void;
type Create = unsafe extern "C" fn(*mut Program, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> c_int;
type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
type Text = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;
type Explain = unsafe extern "C" fn(c_int) -> *const c_char;

/// The compiler, and where it looks for headers.
pub(crate) struct Nvrtc {
    library: Library,
    options: Vec<CString>,
}

impl Nvrtc {
    /// The compiler in `library`, for sources that include from `headers` and `sources`.
    pub(crate) fn open(library: &Path, headers: &Path, sources: &Path) -> Result<Self, String> {
        // SAFETY: the library runs nothing of note when it is loaded.
        let library = unsafe { Library::new(library) }.map_err(|e| e.to_string())?;
        let include = |folder: &Path| text(&format!("--include-path={}", folder.display()));
        let options = vec![text("--std=c++17")?, text("--device-as-default-execution-space")?, include(headers)?, include(sources)?];
        Ok(Self { library, options })
    }

    fn function<T>(&self, name: &str) -> Result<Symbol<'_, T>, String> {
        // SAFETY: the types are those of `nvrtc.h`.
        unsafe { self.library.get(name) }.map_err(|e| e.to_string())
    }

    fn check(&self, status: c_int, what: &str) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        let explain = self.function::<Explain>("nvrtcGetErrorString")?;
        // SAFETY: the text is static.
        let why = unsafe { CStr::from_ptr(explain(status)) };
        Err(format!("NVRTC cannot {what}: {}", why.to_string_lossy()))
    }

    /// The PTX of `file` for `architecture`.
    pub(crate) fn compile(&self, file: &Path, architecture: Architecture) -> Result<String, String> {
        let source = fs::read_to_string(file).map_err(|e| format!("{} cannot be read: {e}", file.display()))?;
        let (source, name) = (text(&source)?, text(&file.display().to_string())?);
        let mut program: Program = std::ptr::null_mut();
        let create = self.function::<Create>("nvrtcCreateProgram")?;
        // SAFETY: the texts end with zeros; there are no headers by name.
        let status = unsafe { create(&mut program, source.as_ptr(), name.as_ptr(), 0, std::ptr::null(), std::ptr::null()) };
        self.check(status, "begin")?;
        let ptx = self.ptx(program, file, architecture);
        // SAFETY: the program was made above.
        unsafe { self.function::<Destroy>("nvrtcDestroyProgram")?(&mut program) };
        ptx
    }

    fn ptx(&self, program: Program, file: &Path, architecture: Architecture) -> Result<String, String> {
        let target = text(&format!("--gpu-architecture=compute_{architecture}"))?;
        let options: Vec<*const c_char> = self.options.iter().chain([&target]).map(|o| o.as_ptr()).collect();
        // SAFETY: the options end with zeros and live until the call returns.
        let status = unsafe { self.function::<Compile>("nvrtcCompileProgram")?(program, options.len() as c_int, options.as_ptr()) };
        if status != 0 {
            let log = self.read(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")?;
            return Err(format!("{} does not compile for compute_{architecture}:\n{log}", file.display()));
        }
        self.read(program, "nvrtcGetPTXSize", "nvrtcGetPTX")
    }

    /// A text of the program, by the functions that tell its size and write it.
    fn read(&self, program: Program, size: &str, text: &str) -> Result<String, String> {
        let mut len = 0;
        // SAFETY: the pointer is good.
        self.check(unsafe { self.function::<Size>(size)?(program, &mut len) }, size)?;
        let mut bytes = vec![0u8; len.max(1)];
        // SAFETY: the buffer is as long as was asked for.
        self.check(unsafe { self.function::<Text>(text)?(program, bytes.as_mut_ptr().cast()) }, text)?;
        let text = CStr::from_bytes_until_nul(&bytes).map_err(|e| e.to_string())?;
        Ok(text.to_string_lossy().into_owned())
    }
}

fn text(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("there is a zero in {text:?}"))
}
