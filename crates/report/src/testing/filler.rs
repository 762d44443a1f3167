//! Makes up a value of any type of the schema, with something in every field: the fields that there are now, and those to come.

use std::cell::Cell;

use serde::{
    Deserialize,
    de::{
        DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _, MapAccess, SeqAccess, VariantAccess, Visitor,
        value::Error,
    },
    forward_to_deserialize_any,
};
use wire::diagnostics::report::{Content, Outcome, Report, SectionId, SectionReport};

/// What is made up.
#[derive(Debug)]
pub(crate) struct Filler<'t> {
    /// What texts say, in turns.
    pub(crate) texts: &'t [&'t str],
    /// How many things there are in a list.
    pub(crate) rows: usize,
    /// Whether optional things are there.
    pub(crate) some: bool,
    /// Chosen of a closed list, and with it numbers.
    pub(crate) seed: u32,
    /// Texts so far.
    pub(crate) told: Cell<usize>,
}

impl<'t> Filler<'t> {
    /// Something in every field, with `texts` in turns.
    pub(crate) fn full(texts: &'t [&'t str], seed: u32) -> Self {
        Self { texts, rows: 2, some: true, seed, told: Cell::new(0) }
    }

    /// Nothing wherever that is possible.
    pub(crate) fn empty() -> Self {
        Self { texts: &[""], rows: 0, some: false, seed: 0, told: Cell::new(0) }
    }

    /// Makes up a value.
    pub(crate) fn make<'de, T: Deserialize<'de>>(&self) -> T {
        T::deserialize(self).expect("every type of the schema can be made up")
    }

    /// Content of every section.
    pub(crate) fn contents(&self) -> Vec<Content> {
        let make = |place| Content::deserialize(Chosen(self, place)).expect("every section can be made up");
        (0..SectionId::ALL.len()).map(make).collect()
    }

    /// A report with every section.
    pub(crate) fn report(&self) -> Report {
        let mut report = self.make::<Report>();
        let section = |content: Content| SectionReport {
            section: content.section(),
            outcome: Outcome::Complete,
            content: Some(content),
            ..self.make::<SectionReport>()
        };
        report.sections = self.contents().into_iter().map(section).collect();
        report
    }

    fn text(&self) -> &str {
        let place = self.told.get();
        self.told.set(place + 1);
        self.texts[place % self.texts.len()]
    }

    fn number(&self) -> u32 {
        self.seed.wrapping_mul(2_654_435_761)
    }
}

macro_rules! numbers {
    ($($method:ident => $visit:ident($number:ty),)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            // Fifteen bits, which every one of these types has.
            visitor.$visit(<$number>::try_from(self.number() >> 17).unwrap_or_default())
        }
    )*};
}

impl<'de> Deserializer<'de> for &Filler<'_> {
    type Error = Error;

    numbers! {
        deserialize_u16 => visit_u16(u16),
        deserialize_u32 => visit_u32(u32),
        deserialize_u64 => visit_u64(u64),
        deserialize_i16 => visit_i16(i16),
        deserialize_i32 => visit_i32(i32),
        deserialize_i64 => visit_i64(i64),
    }

    forward_to_deserialize_any! { i128 u128 f32 f64 bytes byte_buf unit unit_struct map identifier ignored_any }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("not of the schema"))
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // It may be a set of panels, of which the first is in every one.
        visitor.visit_u8(1)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i8(1)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.seed % 2 == 1)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_char(self.text().chars().next().unwrap_or('S'))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.some { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Items(self, self.rows))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Items(self, len))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Items(self, len))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Fields(self, fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let place = self.number() as usize % variants.len();
        visitor.visit_enum(Variant(self, variants[place]))
    }
}

/// As the filler, with the variant chosen.
struct Chosen<'f, 't>(&'f Filler<'t>, usize);

impl<'de> Deserializer<'de> for Chosen<'_, '_> {
    type Error = Error;

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("only a variant is chosen"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(Variant(self.0, variants[self.1]))
    }
}

struct Items<'f, 't>(&'f Filler<'t>, usize);

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.1 == 0 {
            return Ok(None);
        }
        self.1 -= 1;
        seed.deserialize(self.0).map(Some)
    }
}

struct Fields<'f, 't>(&'f Filler<'t>, &'static [&'static str]);

impl<'de> MapAccess<'de> for Fields<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((field, rest)) = self.1.split_first() else { return Ok(None) };
        self.1 = rest;
        seed.deserialize(field.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.0)
    }
}

struct Variant<'f, 't>(&'f Filler<'t>, &'static str);

impl<'de> EnumAccess<'de> for Variant<'_, '_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(self.1.into_deserializer())?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Items(self.0, len))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Fields(self.0, fields))
    }
}
