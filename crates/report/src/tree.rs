//! Any value of the schema as a tree that keeps the order of its fields.
//!
//! The catalogue has many types and gets more. What only has to be laid out or compared is walked as a [`Tree`], so that a new field is
//! shown and compared from the day it is declared. `serde_json::Value` would lose the order of the fields, and what is a word of a closed
//! list and what is text of the machine.

use std::fmt;

use serde::{
    Serialize,
    ser::{self, Impossible, SerializeSeq, SerializeStruct, SerializeTuple, SerializeTupleStruct},
};
use wire::time::WallTime;

/// A value, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// There is none.
    Absent,
    /// Yes or no.
    Truth(bool),
    /// A whole number; its unit is at the end of its field's name.
    Number(i128),
    /// Text of the machine, as it was written. Never to be shown as it is.
    Text(String),
    /// A member of a closed list, by its name.
    Word(&'static str),
    /// A time.
    Time(WallTime),
    /// Several of a kind.
    List(Vec<Self>),
    /// Fields in the order of their declaration.
    Record(Vec<(&'static str, Self)>),
}

impl Tree {
    /// The tree of `value`.
    ///
    /// A variant that holds a value is that value: what is around it says which it is. A value that no type of the schema holds, such as
    /// a map, becomes a text that says so.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Self {
        value.serialize(Grow).unwrap_or_else(|Unfit(why)| Self::Text(why))
    }

    /// The field `name`, if this is a record that has it.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Record(fields) => fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value),
            Self::Absent
            | Self::Truth(_)
            | Self::Number(_)
            | Self::Text(_)
            | Self::Word(_)
            | Self::Time(_)
            | Self::List(_) => None,
        }
    }

    /// Whether it says nothing: absent, or a text of nothing but white space.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::Truth(_) | Self::Number(_) | Self::Word(_) | Self::Time(_) | Self::List(_) | Self::Record(_) => false,
        }
    }
}

/// Why there is no tree.
#[derive(Debug)]
struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl ser::Error for Unfit {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

/// Grows a tree out of whatever serializes.
struct Grow;

/// Grows a list.
struct GrowList(Vec<Tree>);

/// Grows a record.
struct GrowRecord(Vec<(&'static str, Tree)>);

macro_rules! numbers {
    ($($method:ident($number:ty),)*) => {$(
        fn $method(self, value: $number) -> Result<Tree, Unfit> {
            Ok(Tree::Number(value.into()))
        }
    )*};
}

impl ser::Serializer for Grow {
    type Ok = Tree;
    type Error = Unfit;
    type SerializeSeq = GrowList;
    type SerializeTuple = GrowList;
    type SerializeTupleStruct = GrowList;
    type SerializeTupleVariant = Impossible<Tree, Unfit>;
    type SerializeMap = Impossible<Tree, Unfit>;
    type SerializeStruct = GrowRecord;
    type SerializeStructVariant = Impossible<Tree, Unfit>;

    numbers! {
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
    }

    fn serialize_bool(self, value: bool) -> Result<Tree, Unfit> {
        Ok(Tree::Truth(value))
    }

    fn serialize_f32(self, value: f32) -> Result<Tree, Unfit> {
        Ok(Tree::Text(value.to_string()))
    }

    fn serialize_f64(self, value: f64) -> Result<Tree, Unfit> {
        Ok(Tree::Text(value.to_string()))
    }

    fn serialize_char(self, value: char) -> Result<Tree, Unfit> {
        Ok(Tree::Text(value.into()))
    }

    fn serialize_str(self, value: &str) -> Result<Tree, Unfit> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn serialize_bytes(self, _value: &[u8]) -> Result<Tree, Unfit> {
        Err(ser::Error::custom("bytes are not part of the schema"))
    }

    fn serialize_none(self) -> Result<Tree, Unfit> {
        Ok(Tree::Absent)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree, Unfit> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Tree, Unfit> {
        Ok(Tree::Absent)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Tree, Unfit> {
        Ok(Tree::Absent)
    }

    fn serialize_unit_variant(self, _name: &'static str, _at: u32, variant: &'static str) -> Result<Tree, Unfit> {
        Ok(Tree::Word(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<Tree, Unfit> {
        let tree = value.serialize(self)?;
        if let (Tree::Number(millis), "WallTime") = (&tree, name) {
            return Ok(Tree::Time(WallTime(u64::try_from(*millis).unwrap_or(0))));
        }
        Ok(tree)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _at: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<Tree, Unfit> {
        value.serialize(self)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<GrowList, Unfit> {
        Ok(GrowList(Vec::new()))
    }

    fn serialize_tuple(self, _len: usize) -> Result<GrowList, Unfit> {
        Ok(GrowList(Vec::new()))
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<GrowList, Unfit> {
        Ok(GrowList(Vec::new()))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _at: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleVariant, Unfit> {
        Err(ser::Error::custom("variants with several values are not part of the schema"))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Self::SerializeMap, Unfit> {
        Err(ser::Error::custom("maps are not part of the schema"))
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<GrowRecord, Unfit> {
        Ok(GrowRecord(Vec::new()))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _at: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStructVariant, Unfit> {
        Err(ser::Error::custom("variants with fields are not part of the schema"))
    }
}

impl GrowList {
    fn grow<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.0.push(value.serialize(Grow)?);
        Ok(())
    }
}

macro_rules! lists {
    ($($kind:ident::$method:ident,)*) => {$(
        impl $kind for GrowList {
            type Ok = Tree;
            type Error = Unfit;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
                self.grow(value)
            }

            fn end(self) -> Result<Tree, Unfit> {
                Ok(Tree::List(self.0))
            }
        }
    )*};
}

lists! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
}

impl SerializeStruct for GrowRecord {
    type Ok = Tree;
    type Error = Unfit;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Unfit> {
        self.0.push((key, value.serialize(Grow)?));
        Ok(())
    }

    fn end(self) -> Result<Tree, Unfit> {
        Ok(Tree::Record(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use wire::{
        diagnostics::{
            Stuck,
            findings::{Evidence, What},
            schema::Named,
        },
        text::Label,
    };

    use super::*;

    #[test]
    fn fields_stay_in_order_and_words_are_told_from_text() {
        let evidence =
            Evidence { what: What::Busy, amount: None, name: Some(Named::Path(Label::cut("/srv\u{1b}[2J"))) };
        assert_eq!(
            Tree::of(&evidence),
            Tree::Record(vec![
                ("what", Tree::Word("busy")),
                ("amount", Tree::Absent),
                ("name", Tree::Text("/srv\u{1b}[2J".to_owned())),
            ])
        );
        let stuck = Tree::of(&vec![Stuck { pid: 7, name: Label::cut(" ") }]);
        let Tree::List(rows) = &stuck else { panic!("{stuck:?}") };
        assert_eq!(rows[0].field("pid"), Some(&Tree::Number(7)));
        assert!(rows[0].field("name").is_some_and(Tree::is_absent));
        assert_eq!(rows[0].field("owner"), None);
    }

    #[test]
    fn a_time_is_no_mere_number() {
        assert_eq!(Tree::of(&Some(WallTime(5))), Tree::Time(WallTime(5)));
        assert_eq!(Tree::of(&5_u64), Tree::Number(5));
    }

    #[test]
    fn what_is_not_of_the_schema_says_so() {
        assert_eq!(Tree::of(&BTreeMap::from([(1, 2)])), Tree::Text("maps are not part of the schema".to_owned()));
    }
}
