//! Pressure stall information from `/proc/pressure` (the kernel's `Documentation/accounting/psi.rst`).

use std::{io, path::Path};

use wire::diagnostics::Pressure;

use crate::{
    gaps::Gaps,
    text::{KernelFile, fields, hundredths, lines},
};

#[derive(Debug)]
pub(crate) struct PressureFiles {
    cpu: KernelFile,
    memory: KernelFile,
    io: KernelFile,
}

/// Shares in hundredths of a percent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stalls {
    some: Shares,
    full: Shares,
}

/// Of the last ten seconds, and of the last minute.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shares {
    now: u16,
    minute: u16,
}

impl PressureFiles {
    pub(crate) fn new(proc: &Path) -> Self {
        let of = |name: &str| KernelFile::new(proc.join("pressure").join(name));
        Self { cpu: of("cpu"), memory: of("memory"), io: of("io") }
    }

    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>, gaps: &mut Gaps) -> Option<Pressure> {
        let mut stalls = |file: &mut KernelFile| file.read(buffer).map(Stalls::parse);
        match (stalls(&mut self.cpu), stalls(&mut self.memory), stalls(&mut self.io)) {
            (Ok(cpu), Ok(memory), Ok(io)) => Some(pressure(&cpu, &memory, &io)),
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

/// Pressure of a machine, or of one of its control groups.
pub(crate) fn pressure(cpu: &Stalls, memory: &Stalls, io: &Stalls) -> Pressure {
    Pressure {
        cpu_some_centi: cpu.some.now,
        memory_some_centi: memory.some.now,
        memory_full_centi: memory.full.now,
        io_some_centi: io.some.now,
        io_full_centi: io.full.now,
        cpu_some_minute_centi: cpu.some.minute,
        memory_some_minute_centi: memory.some.minute,
        memory_full_minute_centi: memory.full.minute,
        io_some_minute_centi: io.some.minute,
        io_full_minute_centi: io.full.minute,
    }
}

impl Stalls {
    /// Kernels before 5.13 have no `full` line for processors.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut stalls = Self::default();
        for line in lines(text) {
            let mut fields = fields(line);
            let kind = fields.next();
            let mut share = |key: &[u8]| {
                let average = fields.next().and_then(|field| hundredths(field.strip_prefix(key)?));
                average.map_or(0, |share| u16::try_from(share.min(10_000)).unwrap_or(10_000))
            };
            let shares = Shares { now: share(b"avg10="), minute: share(b"avg60=") };
            match kind {
                Some(b"some") => stalls.some = shares,
                Some(b"full") => stalls.full = shares,
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
        let shares = |now, minute| Shares { now, minute };
        assert_eq!(Stalls::parse(text), Stalls { some: shares(1234, 100), full: shares(10_000, 900) });
        let text = b"some avg10=0.05 avg60=1.00\n";
        assert_eq!(Stalls::parse(text), Stalls { some: shares(5, 100), full: shares(0, 0) });
        assert_eq!(Stalls::parse(b"some\nnonsense avg10=x\n"), Stalls::default());
    }
}
