//! The rules of the house hold in this tree.

#[test]
fn every_rule_of_the_house_holds() {
    let breaches = xtask::tidy::check(xtask::process::root()).unwrap();
    let told = breaches.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(told.is_empty(), "\n{}\n", told.join("\n"));
}
