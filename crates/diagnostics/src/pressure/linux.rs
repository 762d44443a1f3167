//! Pressure stall information from `/proc/pressure` (the kernel's `Documentation/accounting/psi.rst`).

use std::{
    io,
    path::{Path, PathBuf},
};

use wire::diagnostics::Pressure;

use crate::{
    gaps::Gaps,
    text::{fields, hundredths, lines, read_file},
};

#[derive(Debug)]
pub(crate) struct PressureFiles {
    cpu: PathBuf,
    memory: PathBuf,
    io: PathBuf,
}

/// Shares of the last ten seconds in hundredths of a percent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stalls {
    pub(crate) some: u16,
    pub(crate) full: u16,
}

impl PressureFiles {
    pub(crate) fn new(proc: &Path) -> Self {
        let of = |name: &str| proc.join("pressure").join(name);
        Self { cpu: of("cpu"), memory: of("memory"), io: of("io") }
    }

    pub(crate) fn read(&self, buffer: &mut Vec<u8>, gaps: &mut Gaps) -> Option<Pressure> {
        let mut stalls = |path: &Path| read_file(path, buffer).map(Stalls::parse);
        match (stalls(&self.cpu), stalls(&self.memory), stalls(&self.io)) {
            (Ok(cpu), Ok(memory), Ok(io)) => Some(Pressure {
                cpu_some_centi: cpu.some,
                memory_some_centi: memory.some,
                memory_full_centi: memory.full,
                io_some_centi: io.some,
                io_full_centi: io.full,
            }),
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
                if error.kind() == io::ErrorKind::Unsupported {
                    gaps.note("pressure", "it is switched off in this kernel");
                }
                gaps.note_error("pressure", &error);
                None
            }
        }
    }
}

impl Stalls {
    /// Kernels before 5.13 have no `full` line for processors.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut stalls = Self::default();
        for line in lines(text) {
            let mut fields = fields(line);
            let kind = fields.next();
            let average = fields.next().and_then(|field| hundredths(field.strip_prefix(b"avg10=")?));
            let share = average.map_or(0, |share| u16::try_from(share.min(10_000)).unwrap_or(10_000));
            match kind {
                Some(b"some") => stalls.some = share,
                Some(b"full") => stalls.full = share,
                Some(_) | None => {}
            }
        }
        stalls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_in_hundredths_of_a_percent() {
        let text =
            b"some avg10=12.34 avg60=1.00 avg300=0.00 total=119\nfull avg10=100.00 avg60=9.00 avg300=1.00 total=9\n";
        assert_eq!(Stalls::parse(text), Stalls { some: 1234, full: 10_000 });
        assert_eq!(Stalls::parse(b"some avg10=0.05 avg60=1.00\n"), Stalls { some: 5, full: 0 });
        assert_eq!(Stalls::parse(b"some\nnonsense avg10=x\n"), Stalls::default());
    }
}
