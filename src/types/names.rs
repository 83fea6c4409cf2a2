//! Names and addresses.
//!
//! May import nothing of this package but the macro of `text`.

use super::text::{is_number, is_plain, is_plain_lower};

text_type! {
    /// A name of one part, as RFC 1123 has it: a namespace, a site, a port, a push group.
    DnsLabel, "DNS label", "at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", 1, 63, |text| is_plain_lower(text, "-")
}

text_type! {
    /// A name of one or more labels: a Secret, a StorageClass, a cluster.
    ObjectName, "object name", "at most 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends of each part",
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", 1, 253,
    |text| text.split('.').all(|part| is_plain_lower(part, "-"))
}

text_type! {
    /// A data centre or region as `SOFARegistry` knows it (`nodes.localDataCenter`, `nodes.localRegion`), such as
    /// `DefaultDataCenter`. It is part of keys and lists of the servers: hence no colon, comma or space.
    PlaceName, "name of a data centre or region",
    "at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
    "^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$", 1, 63, |text| is_plain(text, "-_.")
}

text_type! {
    /// A host name or IPv4 address. The servers ignore IPv6 (measured on 5.4.3 and 6.3.0).
    Host, "host", "a DNS name or an IPv4 address, without a port",
    "^[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?$", 1, 253, |text| is_plain(text, "-.")
}

text_type! {
    /// A host, with a port where it is not the usual one: `10.1.2.3`, `meta-0.west.example:9615`.
    Address, "address", "a DNS name or an IPv4 address, with ':' and a port from 1 to 65535 where it is not the usual one",
    "^[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$",
    1, 259, |text| match text.split_once(':') {
        Some((host, port)) => is_plain(host, "-.") && is_number(port, 1, 65_535),
        None => is_plain(text, "-."),
    }
}

text_type! {
    /// A range of IPv4 addresses: `10.1.0.0/16`.
    Cidr, "address range", "an IPv4 address, '/' and a number from 0 to 32, as in 10.1.0.0/16",
    "^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])/(3[0-2]|[12]?[0-9])$",
    9, 18, |text| text.split_once('/').is_some_and(|(ip, bits)| {
        ip.split('.').count() == 4 && ip.split('.').all(|part| is_number(part, 0, 255)) && is_number(bits, 0, 32)
    })
}

text_type! {
    /// An address of a health check: `http://address-service:8080/health`.
    HttpUrl, "URL", "http:// or https://, a host, and what follows, without spaces or quotes",
    "^https?://[A-Za-z0-9][^ \"'<>\\\\]*$", 8, 1024, |text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
        rest.starts_with(|c: char| c.is_ascii_alphanumeric()) && !rest.contains([' ', '"', '\'', '<', '>', '\\'])
    }
}

text_type! {
    /// An image with its tag or digest: `registry.example/sofa-registry:5.4.3`.
    ImageName, "image", "letters, digits and any of . _ - / : @, starting with a letter or digit, without spaces",
    "^[A-Za-z0-9][-._/:@A-Za-z0-9]*$", 1, 512, |text| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._/:@".contains(c))
    }
}

text_type! {
    /// Five fields of cron: minute, hour, day of the month, month, day of the week. `30 1 * * 2-4`.
    CronText, "cron expression", "five fields of digits, letters and * , - / with one space between them",
    "^[*0-9A-Za-z,/-]+( [*0-9A-Za-z,/-]+){4}$", 9, 128, |text| {
        text.split(' ').count() == 5
            && text.split(' ').all(|f| {
                !f.is_empty() && f.chars().all(|c| c.is_ascii_alphanumeric() || "*,/-".contains(c))
            })
    }
}

text_type! {
    /// A time zone of the IANA database: `Asia/Shanghai`, `UTC`.
    TimeZone, "time zone", "a name of the IANA database, such as Asia/Shanghai or UTC",
    "^[A-Za-z][-+_/A-Za-z0-9]*$", 1, 64, |text| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-+_/".contains(c))
    }
}
