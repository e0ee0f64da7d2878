use super::*;
use std::os::unix::fs::symlink;

fn options(directory: &Path) -> CheckOptions {
    CheckOptions {
        secrets_dir: Some(directory.to_owned()),
        environment: [
            ("OPENAI_API_KEY", " key-1\n"),
            ("APERTURE_SECRET_X", "key-2"),
            ("EMPTY_API_KEY", ""),
            ("HOME", "/root"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect(),
        ..CheckOptions::default()
    }
}

fn lead(text: &str, options: &CheckOptions) -> Result<String, SecretError> {
    resolve(std::iter::once(text), options)
        .remove(text)
        .unwrap()
        .map(|secret| secret.expose().to_owned())
}

#[test]
fn only_named_variables_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    assert_eq!(lead("env:OPENAI_API_KEY", &options).unwrap(), "key-1");
    assert_eq!(lead("env:APERTURE_SECRET_X", &options).unwrap(), "key-2");
    for name in ["HOME", "PATH", "MY_API_KEY_OLD", "", "sk-0123456789"] {
        assert!(
            matches!(
                lead(&format!("env:{name}"), &options),
                Err(SecretError::Forbidden { .. })
            ),
            "{name}"
        );
    }
    for name in ["OTHER_API_KEY", "EMPTY_API_KEY"] {
        assert!(matches!(
            lead(&format!("env:{name}"), &options),
            Err(SecretError::Unset { .. })
        ));
    }
    assert!(!format!("{:?}", options.environment).contains("key-1"));
}

#[test]
fn files_only_below_the_directory() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("secrets");
    fs::create_dir_all(directory.join("team/..data")).unwrap();
    fs::write(root.path().join("outside"), "stolen").unwrap();
    fs::write(directory.join("plain"), "key-1\n").unwrap();
    fs::write(directory.join("team/..data/key"), "key-2").unwrap();
    fs::write(directory.join("empty"), " \n").unwrap();
    fs::write(directory.join("binary"), [0xff, 0xfe]).unwrap();
    symlink("..data/key", directory.join("team/key")).unwrap();
    symlink("../outside", directory.join("escape")).unwrap();
    symlink(root.path(), directory.join("up")).unwrap();
    let options = options(&directory);

    assert_eq!(lead("file:plain", &options).unwrap(), "key-1");
    // A link that stays below, as Kubernetes mounts secrets.
    assert_eq!(lead("file:team/key", &options).unwrap(), "key-2");
    for name in [
        "../outside",
        "team/../../outside",
        "/etc/passwd",
        "",
        ".",
        "..",
        "escape",
        "up/outside",
    ] {
        let result = lead(&format!("file:{name}"), &options);
        assert!(
            matches!(result, Err(SecretError::Outside { .. })),
            "{name}: {result:?}"
        );
    }
    for name in ["empty", "binary", "team"] {
        let result = lead(&format!("file:{name}"), &options);
        assert!(
            matches!(result, Err(SecretError::Unusable { .. })),
            "{name}: {result:?}"
        );
    }
    let missing = lead("file:none", &options);
    assert!(matches!(
        missing,
        Err(SecretError::Unreadable {
            kind: io::ErrorKind::NotFound,
            ..
        })
    ));
    let nowhere = CheckOptions::default();
    assert!(matches!(
        lead("file:plain", &nowhere),
        Err(SecretError::NoDirectory { .. })
    ));
}

#[test]
fn literals_are_not_references() {
    for text in ["sk-ant-...", "keyfile::e30=", "ENV:X", ""] {
        assert_eq!(Reference::parse(text), None, "{text}");
    }
}

#[test]
fn messages_repeat_words_and_not_keys() {
    assert_eq!(echo("digest"), "digest");
    assert_eq!(echo("Bad-Entry"), "Bad-Entry");
    for key in [
        "sk-ant-api03-abcdef",
        "0123456789abcdef",
        "two words",
        "AIzaSyA1234567",
        "x\u{1b}[2J",
    ] {
        assert_eq!(echo(key), "(not shown)");
    }
}
