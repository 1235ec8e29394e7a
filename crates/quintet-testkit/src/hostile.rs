//! What a stranger's files cost, one after the other, in a process of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The most that one file may take, milliseconds.
const MOST_MS: u64 = 10_000;
/// The most memory that the whole process may have while it has one file, KiB.
const MOST_KIB: u64 = 512 << 10;
/// Names a folder to which what every file cost is written, a table each package.
const LIST: &str = "QUINTET_HOSTILE_LIST";
/// Set in the measuring process.
const APART: &str = "QUINTET_MEASURED_APART";
/// What begins a line of it.
const LINE: &str = "measured";

/// One file: what came of it, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The file, below the folder.
    pub path: String,
    /// `ok`, or the code of the error.
    pub code: String,
    /// Milliseconds.
    pub ms: u64,
    /// The most memory of the process, KiB; 0 where no kernel tells.
    pub kib: u64,
    /// The error.
    pub said: String,
}

impl Measured {
    fn read(line: &str) -> Option<Self> {
        // What the test runner prints may stand before it.
        let mut cells = line.split_once(LINE)?.1.strip_prefix('\t')?.splitn(5, '\t');
        let (path, code) = (cells.next()?.to_owned(), cells.next()?.to_owned());
        let (ms, kib) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
        Some(Self { path, code, ms, kib, said: cells.next()?.to_owned() })
    }

    fn line(&self) -> String {
        let Self { path, code, ms, kib, said } = self;
        format!("{path}\t{code}\t{ms}\t{kib}\t{said}")
    }
}

/// The folder of hostile media, in `$QUINTET_SHARED` or beside the repository.
pub fn hostile_media() -> PathBuf {
    let shared = std::env::var_os("QUINTET_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    shared.join("data/hostile-media")
}

/// Every plain file below a folder, sorted; none when it does not exist. Links are not followed.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

/// What [`measure_files`] says in the test `test`, which this starts as a process of its own so
/// that no other test counts into its memory.
///
/// # Panics
/// The process failed, or a file took more than 10 s or 512 MiB.
pub fn measured_apart(test: &str) -> Vec<Measured> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(APART, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let measured: Vec<Measured> = said.lines().filter_map(Measured::read).collect();
    let last = measured.last().map(|m| m.path.as_str());
    assert!(output.status.success(), "after {last:?}: {}", String::from_utf8_lossy(&output.stderr));
    if let Some(list) = std::env::var_os(LIST) {
        let lines: String = measured.iter().map(|m| m.line() + "\n").collect();
        let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
        std::fs::write(Path::new(&list).join(package + ".tsv"), lines).unwrap();
    }
    for m in &measured {
        assert!(m.ms <= MOST_MS, "{}: {} ms", m.path, m.ms);
        assert!(m.kib <= MOST_KIB, "{}: {} KiB", m.path, m.kib);
    }
    let slowest = measured.iter().max_by_key(|m| m.ms);
    let largest = measured.iter().max_by_key(|m| m.kib);
    println!("{} files\nslowest: {slowest:?}\nmost memory: {largest:?}", measured.len());
    measured
}

/// Does `work` on every file below a folder, one after the other, and prints what each cost; only
/// in a process that [`measured_apart`] has started, and nothing elsewhere.
/// `work` gives the code and the message of an error.
///
/// # Panics
/// `work` does, or the kernel does not let the measurement begin anew.
pub fn measure_files(folder: &Path, work: impl Fn(&Path) -> Result<(), (&'static str, String)>) {
    if std::env::var_os(APART).is_none() {
        return;
    }
    for path in files_below(folder) {
        forget_peak();
        let begun = Instant::now();
        let (code, said) = work(&path).err().unwrap_or(("ok", String::new()));
        let measured = Measured {
            path: path.strip_prefix(folder).unwrap_or(&path).display().to_string(),
            code: code.to_owned(),
            ms: begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
            kib: peak_kib(),
            said: said.replace(['\n', '\t'], " "),
        };
        println!("\n{LINE}\t{}", measured.line());
    }
}

/// Lets the kernel's peak of this process begin anew.
fn forget_peak() {
    if cfg!(target_os = "linux") {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
    }
}

/// The most memory that this process has had since, KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}
