//! Text that is cut, forged or means something else in another session.

use super::*;
use proptest::prelude::*;

fn rows_follow(class: StatementClass) -> bool {
    one(class) == created(|c| c.rows_follow = true)
}

#[test]
fn what_is_not_understood_is_unknown() {
    for text in [
        "FROBNICATE TABLE t",
        "CREATE EXTERNAL TABLE t (a int)",
        "ALTER TABLE",
        "DROP TABLE `open",
        "DROP TABLE t /* open",
        "DROP TABLE t /*! x",
        "BEGIN NOT ATOMIC SELECT 1; END",
        "IMPORT TABLE FROM 'x.sdi'",
        "CREATE TABLE t (a int",
        "ALTER TABLE t ADD x INT)",
        "XA RECOVER",
        "\u{0}\u{1}",
    ] {
        assert_eq!(mysql(text), StatementClass::Unknown, "{text}");
    }
    let no_db = StatementContext {
        default_db: b"",
        ..context(Flavor::MySql)
    };
    assert_eq!(classify(b"DROP TABLE t", &no_db), StatementClass::Unknown);
}

#[test]
fn comments_follow_the_flavor() {
    let text = "DROP TABLE a /*M!100100 , b */ /*!50000 , c */";
    assert_eq!(effects(mysql(text)).len(), 2);
    assert_eq!(effects(mariadb(text)).len(), 3);
    let minus = "DROP TABLE a --b";
    assert_eq!(mysql(minus), StatementClass::Unknown);
}

#[test]
fn quotes_follow_the_session() {
    let ansi = StatementContext {
        sql_mode: SQL_MODE_ANSI_QUOTES,
        ..context(Flavor::MySql)
    };
    let text = b"DROP TABLE \"a\"\"b\"";
    assert_eq!(
        one(classify(text, &ansi)),
        Effect::DropTable(name("shop", "a\"b"))
    );
    assert_eq!(
        classify(text, &context(Flavor::MySql)),
        StatementClass::Unknown
    );

    let text = b"CREATE TABLE t (a int COMMENT '\\') START TRANSACTION";
    assert_eq!(
        classify(text, &context(Flavor::MySql)),
        StatementClass::Unknown
    );
    let plain = StatementContext {
        sql_mode: SQL_MODE_NO_BACKSLASH_ESCAPES,
        ..context(Flavor::MySql)
    };
    assert!(rows_follow(classify(text, &plain)));
}

#[test]
fn half_characters_are_no_backslashes() {
    let gbk = StatementContext {
        collation: Some(28),
        ..context(Flavor::MySql)
    };
    // 0x815C is one character; read as bytes it would escape the closing quote.
    let text = b"CREATE TABLE t (a int COMMENT '\x81\x5c') START TRANSACTION";
    assert!(rows_follow(classify(text, &gbk)));
    assert_eq!(
        one(classify(b"DROP TABLE `\x81\x60`, \xd6\xd0", &gbk).first_two()),
        Effect::DropTable(name("shop", "乣"))
    );
    let latin1 = StatementContext {
        collation: Some(8),
        ..context(Flavor::MySql)
    };
    assert_eq!(
        one(classify(b"DROP TABLE \xe9t\xe9", &latin1)),
        Effect::DropTable(name("shop", "été"))
    );
    assert_eq!(
        classify(b"DROP TABLE \xe9t\xe9", &context(Flavor::MySql)),
        StatementClass::Unknown
    );
}

impl StatementClass {
    /// The first of two effects alone.
    fn first_two(self) -> StatementClass {
        let mut effects = effects(self);
        assert_eq!(effects.len(), 2);
        effects.truncate(1);
        StatementClass::Ddl { effects }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_bytes_never_panic(
        start in prop_oneof![Just("CREATE "), Just("ALTER TABLE t "), Just("DROP "), Just("XA "), Just("")],
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        collation in any::<Option<u8>>(),
        sql_mode in any::<u64>(),
    ) {
        let mut text = start.as_bytes().to_vec();
        text.extend_from_slice(&bytes);
        for flavor in [Flavor::MySql, Flavor::MariaDb] {
            let context = StatementContext { flavor, default_db: b"d", collation: collation.map(u16::from), sql_mode };
            let _ = classify(&text, &context);
        }
    }

    #[test]
    fn random_tokens_never_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "CREATE", "ALTER", "DROP", "TABLE", "RENAME", "TO", "(", ")", ",", ".", "`a`", "t",
                "SELECT", "DEFINER", "=", "@", "'x'", "EXCHANGE", "PARTITION", "WITH", "LIKE", "IF",
                "EXISTS", "NOT", "OR", "REPLACE", "VIEW", "INDEX", "ON", "/*!", "*/", ";", "XA",
                "COMMIT", "X'61'", "EVENT", "DO", "START", "TRANSACTION", "FUNCTION", "SET", "STATEMENT", "FOR",
            ]),
            0..14,
        ),
    ) {
        let text = words.join(" ");
        let _ = mysql(&text);
        let _ = mariadb(&text);
    }
}
