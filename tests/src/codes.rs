//! What a session code does, and what it does not.

use testkit::PATIENCE;

use crate::world::World;

/// Another code that passes the check digit: the same locator with another secret.
fn with_other_secret(code: &str) -> String {
    // Two codes with the same locator whose check digits hold: search the last digit for a changed secret.
    let digits = code.chars().filter(char::is_ascii_digit).collect::<Vec<_>>();
    let (body, _) = digits.split_at(digits.len() - 1);
    let mut changed = body.to_vec();
    let at = changed.len() - 1;
    changed[at] = if changed[at] == '9' { '0' } else { char::from(changed[at] as u8 + 1) };
    let body = changed.into_iter().collect::<String>();
    (0..10).map(|check| format!("{body}{check}")).find(|code| damm(code) == 0).expect("one digit closes the sum")
}

/// H. Michael Damm, 2004: the totally anti-symmetric quasigroup of order 10.
fn damm(digits: &str) -> u8 {
    const TABLE: [[u8; 10]; 10] = [
        [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
        [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
        [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
        [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
        [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
        [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
        [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
        [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
        [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
        [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
    ];
    digits.bytes().fold(0, |sum, digit| TABLE[usize::from(sum)][usize::from(digit - b'0')])
}

#[tokio::test]
async fn a_mistyped_digit_is_caught_before_anything_is_tried() -> anyhow::Result<()> {
    let world = World::start().await?;
    let code = world.share.code().await?;
    let last = code.chars().last().unwrap();
    let typo = format!("{}{}", &code[..code.len() - 1], if last == '9' { '0' } else { char::from(last as u8 + 1) });
    let refused = world.technician.run(["attach", &typo]).await?;
    assert_eq!(refused.code(), 2, "{}", refused.stderr);
    assert_eq!(world.share.code().await?, code, "the code is still good");
    world.attach().await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_code_lets_nobody_in_and_two_of_them_void_it() -> anyhow::Result<()> {
    let world = World::start().await?;
    let code = world.share.code().await?;
    let wrong = with_other_secret(&code);
    let refused = world.technician.run(["attach", &wrong]).await?;
    assert_eq!(refused.code(), 3, "{}", refused.stderr);
    world.share.sees("wrong code").await?;
    world.technician.run(["attach", &wrong]).await?;
    world.share.sees("void").await?;
    let right = world.technician.run(["attach", &code]).await?;
    assert_ne!(right.code(), 0, "the right code is void as well");
    assert!(world.share.logs()?.is_empty(), "nobody was let in");
    Ok(())
}

#[tokio::test]
async fn a_technicians_program_refuses_a_third_try_of_one_code_by_itself() -> anyhow::Result<()> {
    let world = World::start().await?;
    let wrong = with_other_secret(&world.share.code().await?);
    for _ in 0..2 {
        world.technician.run(["attach", &wrong]).await?;
    }
    let third = world.technician.run(["attach", &wrong]).await?;
    assert_eq!(third.code(), 3, "{}", third.stderr);
    assert!(third.stderr.contains("ten minutes") || third.stderr.contains("10 min"), "{}", third.stderr);
    Ok(())
}

#[tokio::test]
async fn a_used_code_is_used() -> anyhow::Result<()> {
    let world = World::start().await?;
    let code = world.share.code().await?;
    let _attached = world.attach().await?;
    let again = world.technician.run(["attach", &code]).await?;
    assert_eq!(again.code(), 3, "{}", again.stderr);
    assert!(again.stderr.contains("nobody is waiting"), "{}", again.stderr);
    Ok(())
}

#[tokio::test]
async fn a_code_that_nobody_shows_reaches_nobody() -> anyhow::Result<()> {
    let world = World::start().await?;
    let mut other = world.share.code().await?.chars().filter(char::is_ascii_digit).collect::<Vec<_>>();
    other[0] = if other[0] == '9' { '0' } else { char::from(other[0] as u8 + 1) };
    let other = with_other_secret(&other.into_iter().collect::<String>());
    let refused = world.technician.run(["attach", &other]).await?;
    assert_eq!(refused.code(), 3, "{}", refused.stderr);
    Ok(())
}

#[tokio::test]
async fn a_relay_with_another_key_is_not_spoken_to() -> anyhow::Result<()> {
    let world = World::start().await?;
    let link = world.relay.link();
    let wrong = wire::link::RelayLink::new(link.host(), link.port(), [0x5a; 32])?;
    let code = world.share.code().await?;
    let mut attaching = world.technician.start(["attach", "--relay", &wrong.to_string(), &code])?;
    assert_eq!(attaching.wait_exit(PATIENCE).await?.code(), 5);
    Ok(())
}
