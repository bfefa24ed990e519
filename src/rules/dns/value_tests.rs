use proptest::prelude::*;

use super::*;

fn wire(of: RecordType, text: &str) -> Vec<u8> {
    RecordData::parse(of, text).unwrap_or_else(|problem| panic!("{of} {text}: {problem}")).wire()
}

#[test]
fn good_values() {
    use RecordType::{A, AAAA, CAA, CNAME, MX, SRV, TXT};
    for (of, text, right) in [
        (A, "192.0.2.10", &b"\xc0\x00\x02\x0a"[..]),
        (AAAA, "2001:db8::1", b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"),
        (CNAME, "Www.x.", b"\x03Www\x01x\0"),
        (CNAME, "_k._domainkey.x", b"\x02_k\x0a_domainkey\x01x\0"),
        (TXT, "v=spf1 -all", b"\x0bv=spf1 -all"),
        (TXT, "\"a b\" \"c\"", b"\x03a b\x01c"),
        (TXT, r#""a\"b\\c\200""#, b"\x06a\"b\\c\xc8"),
        (TXT, "\"\"", b"\0"),
        (TXT, "ü", b"\x02\xc3\xbc"),
        (TXT, r"back\slash", b"\x0aback\\slash"),
        (MX, "10 mail.x.", b"\0\x0a\x04mail\x01x\0"),
        (MX, "0 .", b"\0\0\0"),
        (SRV, "1 2 5060 sip.x", b"\0\x01\0\x02\x13\xc4\x03sip\x01x\0"),
        (SRV, "0 0 0 .", b"\0\0\0\0\0\0\0"),
        (CAA, "0 issue \"ca.x; a=b\"", b"\0\x05issueca.x; a=b"),
        (CAA, "128 issue ;", b"\x80\x05issue;"),
        (CAA, "0 issue \"\"", b"\0\x05issue"),
    ] {
        assert_eq!(wire(of, text), right, "{of} {text}");
    }
}

#[test]
fn long_text_is_split() {
    let right = [&[255][..], &[b'a'; 255], &[45], &[b'a'; 45]].concat();
    assert_eq!(wire(RecordType::TXT, &"a".repeat(300)), right);
}

#[test]
fn bad_values_say_what_is_right() {
    use RecordType::{A, AAAA, CAA, CNAME, MX, SRV, TXT};
    let long = format!("\"{}\"", "a".repeat(256));
    for (of, text, says) in [
        (A, "", "192.0.2.10"),
        (A, "2001:db8::1", "192.0.2.10"),
        (A, "192.0.2", "192.0.2.10"),
        (A, "192.0.2.010", "192.0.2.10"),
        (A, "192.0.2.1 ", "192.0.2.10"),
        (AAAA, "192.0.2.1", "2001:db8::10"),
        (AAAA, "fe80::1%eth0", "2001:db8::10"),
        (CNAME, "", "a name is missing"),
        (CNAME, ".", "empty label"),
        (CNAME, "*.x", "star"),
        (CNAME, "a b", "' '"),
        (CNAME, "größe.x", "xn--"),
        (TXT, "", "strings in quotes"),
        (TXT, "a\nb", "control character"),
        (TXT, "\"a", "do not match"),
        (TXT, "\"a\" b", "do not match"),
        (TXT, "\"a\"\"b\"", "do not match"),
        (TXT, "\"a\\", "do not match"),
        (TXT, "\"\\256\"", "do not match"),
        (TXT, "\"\\12\"", "do not match"),
        (TXT, &long, "longer than 255"),
        (MX, "mail.x", "10 mail.example.dev"),
        (MX, "65536 mail.x", "10 mail.example.dev"),
        (MX, "+1 mail.x", "10 mail.example.dev"),
        (MX, "10 mail_1.x", "host name"),
        (MX, "10 mail.x y", "10 mail.example.dev"),
        (SRV, "1 2 sip.x", "10 5 5060"),
        (SRV, "1 2 99999 sip.x", "10 5 5060"),
        (SRV, "1 2 -3 sip.x", "10 5 5060"),
        (CAA, "0 issue", "0 issue \"ca.example.net\""),
        (CAA, "256 issue x", "0 issue"),
        (CAA, "0 iss-ue x", "0 issue"),
        (CAA, "0 issue a b", "0 issue"),
        (CAA, "0 issue \"a\" \"b\"", "0 issue"),
    ] {
        let problem = RecordData::parse(of, text).expect_err(text).to_string();
        assert!(problem.contains(says), "{of} {text}: {problem}");
    }
}

#[test]
fn sets() {
    let parse = |of, values: &[&str]| parse_set(of, &values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>());
    assert_eq!(parse(RecordType::A, &["192.0.2.1", "192.0.2.2"]).unwrap().len(), 2);
    assert_eq!(parse(RecordType::A, &[]), Err(SetProblem::Count(0)));
    assert_eq!(parse(RecordType::A, &["192.0.2.1", "192.0.2.1"]), Err(SetProblem::Twice(1)));
    assert_eq!(parse(RecordType::AAAA, &["::1", "0:0::1"]), Err(SetProblem::Twice(1)));
    assert_eq!(parse(RecordType::MX, &["1 A.x", "1 a.X."]), Err(SetProblem::Twice(1)));
    assert_eq!(parse(RecordType::CNAME, &["a.x", "b.x"]), Err(SetProblem::SeveralCnames(2)));
    let many: Vec<_> = (0..257).map(|n| format!("192.0.{}.{}", n / 256, n % 256)).collect();
    assert_eq!(parse_set(RecordType::A, &many), Err(SetProblem::Count(257)));
    let large: Vec<_> = (0..20).map(|n| format!("{n}{}", "x".repeat(4000))).collect();
    assert!(matches!(parse_set(RecordType::TXT, &large), Err(SetProblem::Large(_))));
    let problem = parse(RecordType::A, &["192.0.2.1", "x"]).unwrap_err().to_string();
    assert!(problem.starts_with("value 2: \"x\" is no value of A"), "{problem}");
}

/// Strings as a zone file writes them.
fn written(strings: &[Vec<u8>]) -> String {
    let byte = |b: &u8| if b.is_ascii_alphanumeric() { char::from(*b).to_string() } else { format!("\\{b:03}") };
    let string = |bytes: &Vec<u8>| format!("\"{}\"", bytes.iter().map(byte).collect::<String>());
    strings.iter().map(string).collect::<Vec<_>>().join(" ")
}

proptest! {
    #[test]
    fn every_string_can_be_written(strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..4)) {
        prop_assert_eq!(RecordData::parse(RecordType::TXT, &written(&strings)), Ok(RecordData::TXT(strings)));
    }

    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,60}|[0-9 \"\\\\a.]{0,30}", of in 0..7_usize) {
        use strum::VariantArray;
        if let Ok(value) = RecordData::parse(RecordType::VARIANTS[of], &text) {
            prop_assert_eq!(value.canonical().len(), value.wire().len());
        }
    }
}
