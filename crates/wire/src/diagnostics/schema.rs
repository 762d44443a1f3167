//! What may leave a machine: every field of every type that does declares its class, or it does not build.
//!
//! `schema!` is the only way to write such a type. It wants a class in front of each field:
//!
//! | class | what it holds | level |
//! |---|---|---|
//! | `technical` | figures, states, names that the kernel or a vendor gave | P0 |
//! | `identifier` | serial numbers, hardware addresses, machine ids | P1 |
//! | `unit` | names of services, whose instances may carry the names of people | P2 |
//! | `path` | folders and files, which carry the names of people | P2 |
//! | `personal` | names that people gave or have: users, hosts, printers, labels | P2 |
//! | `network` | addresses, names of networks, of links to them and of machines in them | P2 |
//! | `text` | free text, such as a log line, in which anything may stand | P3 |
//! | `nested` | another type of the schema, with classes of its own | - |
//!
//! A `technical` field must be of a type that is [`Technical`], which types of the schema are not: a class cannot be hidden inside.
//! What becomes of the other classes when something leaves is decided in one place, by whoever implements [`Egress`].

use crate::text::{Label, PeerText};

/// What a field holds, as far as privacy goes. `technical` fields are never looked at, so they have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Names one device or machine: a serial number, a hardware address, a machine id.
    Identifier,
    /// The name of a service or another unit of the system's manager.
    Unit,
    /// A folder or a file.
    Path,
    /// A name that a person has or gave.
    Personal,
    /// An address, or the name of a network or of a machine in it.
    Network,
    /// Free text.
    Text,
}

impl Class {
    /// Every class, in the order of the table above.
    pub const ALL: [Self; 6] = [Self::Identifier, Self::Unit, Self::Path, Self::Personal, Self::Network, Self::Text];

    /// Its name in documents and receipts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identifier => "identifier",
            Self::Unit => "unit",
            Self::Path => "path",
            Self::Personal => "personal",
            Self::Network => "network",
            Self::Text => "text",
        }
    }
}

/// Decides what leaves in place of a text.
pub trait Egress {
    /// What is sent instead of `text`; `None` to send it as it is. Never called for a blank text.
    fn replacement(&mut self, class: Class, text: &str) -> Option<String>;

    /// What is sent in place of the arguments of a program, which are free text, each in its place: one may say what the next one is, as
    /// in `--password hunter2`.
    fn arguments(&mut self, arguments: &[&str]) -> Vec<String>;
}

/// A type of the schema: it can be made fit to leave.
pub trait Redact {
    /// Replaces whatever may not leave by what `egress` gives instead.
    fn redact(&mut self, egress: &mut dyn Egress);
}

/// Text of some class, alone or in a list.
pub trait Sensitive {
    /// As [`Redact::redact`], for a field that is declared to be of `class`.
    fn redact_as(&mut self, class: Class, egress: &mut dyn Egress);
}

/// A type that tells nothing about a person, whatever its value: numbers, closed lists, and text that its field vouches for.
pub trait Technical {}

impl<const MAX: usize> Sensitive for PeerText<MAX> {
    fn redact_as(&mut self, class: Class, egress: &mut dyn Egress) {
        if self.is_blank() {
            return;
        }
        if let Some(replacement) = egress.replacement(class, self.raw()) {
            *self = Self::cut(&replacement);
        }
    }
}

impl<T: Sensitive> Sensitive for Option<T> {
    fn redact_as(&mut self, class: Class, egress: &mut dyn Egress) {
        self.iter_mut().for_each(|field| field.redact_as(class, egress));
    }
}

impl<T: Sensitive> Sensitive for Vec<T> {
    fn redact_as(&mut self, class: Class, egress: &mut dyn Egress) {
        self.iter_mut().for_each(|field| field.redact_as(class, egress));
    }
}

impl<T: Redact> Redact for Option<T> {
    fn redact(&mut self, egress: &mut dyn Egress) {
        self.iter_mut().for_each(|field| field.redact(egress));
    }
}

impl<T: Redact> Redact for Vec<T> {
    fn redact(&mut self, egress: &mut dyn Egress) {
        self.iter_mut().for_each(|field| field.redact(egress));
    }
}

impl<T: Redact + ?Sized> Redact for Box<T> {
    fn redact(&mut self, egress: &mut dyn Egress) {
        (**self).redact(egress);
    }
}

macro_rules! technical {
    ($($ty:ty),*) => {$(impl Technical for $ty {})*};
}

technical!(bool, char, u8, u16, u32, u64, i8, i16, i32, i64, crate::time::WallTime);

impl<const MAX: usize> Technical for PeerText<MAX> {}
impl<T: Technical> Technical for Option<T> {}
impl<T: Technical> Technical for Vec<T> {}
impl<T: Technical, const N: usize> Technical for [T; N] {}

/// Fails to compile for a type that is not [`Technical`].
#[doc(hidden)]
pub const fn assert_technical<T: Technical>(_: &T) {}

/// Defines types of the schema: structures whose every field has a class, and closed lists. Each gets the traits of a message.
///
/// ```
/// # use wire::{schema, text::Label};
/// schema! {
///     /// One mounted file system.
///     pub struct Mounted {
///         /// Where it is mounted.
///         path mount: Label,
///         /// Size.
///         technical total_kib: u64,
///     }
/// }
/// ```
///
/// A field without a class does not build:
///
/// ```compile_fail
/// # use wire::{schema, text::Label};
/// schema! {
///     pub struct Mounted {
///         mount: Label,
///     }
/// }
/// ```
///
/// Neither does one that hides another type's classes:
///
/// ```compile_fail
/// # use wire::{schema, text::Label};
/// schema! {
///     pub struct Inner {
///         path mount: Label,
///     }
///     pub struct Outer {
///         technical inner: Inner,
///     }
/// }
/// ```
#[macro_export]
macro_rules! schema {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* $class:ident $field:ident: $ty:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $($(#[$doc])* pub $field: $ty,)*
        }

        impl $crate::diagnostics::schema::Redact for $name {
            fn redact(&mut self, egress: &mut dyn $crate::diagnostics::schema::Egress) {
                let _ = &egress;
                $($crate::field!($class, &mut self.$field, egress);)*
            }
        }
    )*};
}

/// A closed list whose members say nothing about a person.
#[macro_export]
macro_rules! closed {
    ($($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every member, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in commands, reports and documents.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl $crate::diagnostics::schema::Technical for $name {}

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    )*};
}

#[doc(hidden)]
#[macro_export]
macro_rules! field {
    (technical, $field:expr, $egress:ident) => {
        $crate::diagnostics::schema::assert_technical($field)
    };
    (nested, $field:expr, $egress:ident) => {
        $crate::diagnostics::schema::Redact::redact($field, $egress)
    };
    (identifier, $field:expr, $egress:ident) => {
        $crate::field!(@ Identifier, $field, $egress)
    };
    (unit, $field:expr, $egress:ident) => {
        $crate::field!(@ Unit, $field, $egress)
    };
    (path, $field:expr, $egress:ident) => {
        $crate::field!(@ Path, $field, $egress)
    };
    (personal, $field:expr, $egress:ident) => {
        $crate::field!(@ Personal, $field, $egress)
    };
    (network, $field:expr, $egress:ident) => {
        $crate::field!(@ Network, $field, $egress)
    };
    (text, $field:expr, $egress:ident) => {
        $crate::field!(@ Text, $field, $egress)
    };
    (@ $class:ident, $field:expr, $egress:ident) => {
        $crate::diagnostics::schema::Sensitive::redact_as($field, $crate::diagnostics::schema::Class::$class, $egress)
    };
}

/// A name together with what kind of name it is, where that depends on what it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// A device, a program, a sensor: named by the kernel or a vendor.
    Technical(Label),
    /// See [`Class::Identifier`].
    Identifier(Label),
    /// See [`Class::Unit`].
    Unit(Label),
    /// See [`Class::Path`].
    Path(Label),
    /// See [`Class::Personal`].
    Personal(Label),
    /// See [`Class::Network`].
    Network(Label),
    /// See [`Class::Text`].
    Text(Label),
}

impl Named {
    /// The name itself.
    pub fn label(&self) -> &Label {
        match self {
            Self::Technical(label)
            | Self::Identifier(label)
            | Self::Unit(label)
            | Self::Path(label)
            | Self::Personal(label)
            | Self::Network(label)
            | Self::Text(label) => label,
        }
    }
}

impl Redact for Named {
    fn redact(&mut self, egress: &mut dyn Egress) {
        match self {
            Self::Technical(_) => {}
            Self::Identifier(label) => label.redact_as(Class::Identifier, egress),
            Self::Unit(label) => label.redact_as(Class::Unit, egress),
            Self::Path(label) => label.redact_as(Class::Path, egress),
            Self::Personal(label) => label.redact_as(Class::Personal, egress),
            Self::Network(label) => label.redact_as(Class::Network, egress),
            Self::Text(label) => label.redact_as(Class::Text, egress),
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that indexes too far fails; a schema is written so that it can leave"
)]
mod tests {
    use super::*;

    crate::schema! {
        /// Something of each class.
        pub struct Sample {
            /// A figure.
            technical size: u64,
            /// Ours.
            technical kind: Label,
            /// Theirs.
            identifier serial: Label,
            /// Theirs.
            personal users: Vec<Label>,
            /// Theirs.
            network peer: Option<Label>,
            /// Inside.
            nested inner: Vec<Inner>,
        }

        /// Inside of it.
        pub struct Inner {
            /// Theirs.
            path place: Label,
            /// Theirs.
            unit service: Label,
            /// Theirs.
            text line: Label,
            /// Anything.
            nested name: Named,
        }
    }

    /// Writes down what it was asked for.
    #[derive(Default)]
    struct Witness(Vec<(Class, String)>);

    impl Egress for Witness {
        fn arguments(&mut self, arguments: &[&str]) -> Vec<String> {
            self.0.extend(arguments.iter().map(|argument| (Class::Text, (*argument).to_owned())));
            arguments.iter().map(|_| Class::Text.name().to_owned()).collect()
        }

        fn replacement(&mut self, class: Class, text: &str) -> Option<String> {
            self.0.push((class, text.to_owned()));
            Some(class.name().to_owned())
        }
    }

    #[test]
    fn every_field_passes_the_egress_under_its_class_and_technical_ones_do_not() {
        let label = Label::cut;
        let inner = Inner {
            place: label("/home/ana"),
            service: label("user@1000.service"),
            line: label("secret"),
            name: Named::Personal(label("Ana's printer")),
        };
        let mut sample = Sample {
            size: 7,
            kind: label("ext4"),
            serial: label("S1"),
            users: vec![label("ana"), label(" "), label("bo")],
            peer: Some(label("10.0.0.1")),
            inner: vec![inner],
        };
        let mut witness = Witness::default();
        sample.redact(&mut witness);
        let seen = witness.0.iter().map(|(class, text)| (*class, text.as_str())).collect::<Vec<_>>();
        assert_eq!(
            seen,
            [
                (Class::Identifier, "S1"),
                (Class::Personal, "ana"),
                (Class::Personal, "bo"),
                (Class::Network, "10.0.0.1"),
                (Class::Path, "/home/ana"),
                (Class::Unit, "user@1000.service"),
                (Class::Text, "secret"),
                (Class::Personal, "Ana's printer"),
            ]
        );
        assert_eq!((sample.size, sample.kind.raw(), sample.serial.raw()), (7, "ext4", "identifier"));
        assert_eq!(sample.inner[0].name, Named::Personal(label("personal")));
    }
}
