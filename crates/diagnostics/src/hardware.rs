//! What the machine is made of.

mod devices;
pub(crate) mod linux;
mod processor;
mod smbios;

/// Whether a vendor left a field of the firmware's tables as it was when it got them.
fn is_filler(text: &str) -> bool {
    const FILLERS: [&str; 14] = [
        "to be filled by o.e.m.",
        "system manufacturer",
        "system product name",
        "system version",
        "system serial number",
        "default string",
        "not specified",
        "not applicable",
        "not available",
        "no asset information",
        "no asset tag",
        "unknown",
        "none",
        "n/a",
    ];
    let text = text.trim().to_ascii_lowercase();
    FILLERS.contains(&text.as_str()) || text.bytes().all(|byte| byte == b'0')
}
