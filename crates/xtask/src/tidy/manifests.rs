//! What stands in the manifests of members.

use toml::{Table, Value};

use super::{Breach, files::SourceFile};

const ONE_PLACE: &str =
    "versions are set in the root manifest alone, so that there is one of each and one place to review them";

const SAME_RULES: &str = "every crate is built and linted by the same rules";

const FROM_WORKSPACE: [&str; 6] = ["version", "edition", "rust-version", "license", "repository", "publish"];

pub(super) fn check(files: &[SourceFile]) -> Vec<Breach> {
    let is_member = |file: &&SourceFile| file.path.ends_with("/Cargo.toml");
    files.iter().filter(is_member).flat_map(check_member).collect()
}

fn check_member(file: &SourceFile) -> Vec<Breach> {
    let manifest = match file.text.parse::<Table>() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Breach::new(&file.path, 0, error.message(), "a manifest is valid TOML")],
    };
    // A workspace of its own, such as a fuzz target's, cannot inherit anything.
    if manifest.contains_key("workspace") {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    let package = manifest.get("package").and_then(Value::as_table);
    for key in FROM_WORKSPACE {
        if !package.and_then(|package| package.get(key)).is_some_and(inherits) {
            breaches.push(Breach::new(&file.path, 0, format!("package.{key} is not inherited"), SAME_RULES));
        }
    }
    if !manifest.get("lints").is_some_and(inherits) {
        breaches.push(Breach::new(&file.path, 0, "lints are not inherited", SAME_RULES));
    }
    let platforms = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    for table in platforms.filter_map(|(_, value)| value.as_table()).chain([&manifest]) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                if !inherits(value) {
                    let what = format!("the version of {name} is not taken from the workspace");
                    breaches.push(Breach::new(&file.path, line_of(&file.text, name), what, ONE_PLACE));
                }
            }
        }
    }
    breaches
}

fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

fn line_of(text: &str, key: &str) -> usize {
    let sets = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', '.', '=']));
    text.lines().position(|line| sets(line.trim_start())).map_or(0, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[package]\nname = 'x'\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\nrepository.workspace = true\npublish.workspace = true\n";

    fn breaches(rest: &str) -> Vec<(usize, String)> {
        let file = SourceFile::new("crates/x/Cargo.toml", &format!("{HEAD}{rest}"));
        check(&[file]).into_iter().map(|breach| (breach.line, breach.what)).collect()
    }

    #[test]
    fn a_member_that_inherits_everything_is_fine() {
        let rest = "[lints]\nworkspace = true\n[dependencies]\na.workspace = true\nb = { workspace = true, optional = true }\n";
        assert_eq!(breaches(rest), []);
    }

    #[test]
    fn an_own_version_is_told_wherever_it_stands() {
        let rest = "[lints]\nworkspace = true\n[dev-dependencies]\na = '1'\n[target.'cfg(unix)'.dependencies]\nb = { git = 'x' }\n";
        let told = |name: &str| format!("the version of {name} is not taken from the workspace");
        assert_eq!(breaches(rest), [(14, told("b")), (12, told("a"))]);
    }

    #[test]
    fn a_member_with_its_own_lints_is_told() {
        assert_eq!(breaches("[lints.rust]\nunsafe_code = 'allow'\n"), [(0, "lints are not inherited".to_owned())]);
    }
}
