//! Opening the consent page in the person's browser.
//!
//! The page's address carries a one-time token. A command line can be read by every user of the machine, so the browser is given the
//! name of a file that only this user can read; the file sends the browser on to the page, and is removed when the
//! guard is dropped.

use std::{
    env,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

/// A browser that was asked to open the page, and the file that sends it there.
#[derive(Debug)]
pub struct OpenedBrowser {
    file: PathBuf,
    /// Reaped when dropped by the runtime; the browser itself is not a child of the opener for long.
    _opener: Child,
}

impl Drop for OpenedBrowser {
    fn drop(&mut self) {
        // A file that is gone already is what is wanted.
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Whether there is a desktop on which a page could be shown, and a program to open it with.
pub fn browser_available() -> bool {
    let desktop =
        ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"].iter().any(|name| env::var_os(name).is_some_and(|v| !v.is_empty()));
    desktop && opener().is_some()
}

/// Opens `url` in the person's browser.
///
/// # Errors
///
/// If no opener is installed, the file cannot be written, or the opener does not start.
pub fn open_in_browser(url: &str, folder: &Path) -> io::Result<OpenedBrowser> {
    let opener = opener().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no program to open a page with"))?;
    let file = folder.join("open-consent-page.html");
    let _ = std::fs::remove_file(&file);
    let mut options = std::fs::File::options();
    options.write(true).create_new(true).mode(0o600);
    options.open(&file)?.write_all(page(url).as_bytes())?;
    let opener = spawn(&opener, &file)?;
    Ok(OpenedBrowser { file, _opener: opener })
}

#[expect(clippy::disallowed_methods, reason = "this is the executor: the one place that starts processes")]
fn spawn(opener: &Path, file: &Path) -> io::Result<Child> {
    Command::new(opener).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// The first word of `BROWSER` if it names a program, else `xdg-open`.
fn opener() -> Option<PathBuf> {
    let chosen = env::var_os("BROWSER").filter(|value| !value.is_empty()).map(PathBuf::from);
    chosen.into_iter().chain([PathBuf::from("xdg-open")]).find_map(|program| in_path(&program))
}

fn in_path(program: &Path) -> Option<PathBuf> {
    let is_program = |path: &Path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file();
    if program.is_absolute() {
        return is_program(program).then(|| program.to_owned());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|place| place.join(program)).find(|path| is_program(path))
}

/// A page that sends the browser on. `url` is made by this program and contains nothing that HTML would read.
fn page(url: &str) -> String {
    format!(
        "<!doctype html><meta charset=utf-8><title>Assent</title><meta http-equiv=refresh content=\"0;url={url}\">\n"
    )
}
