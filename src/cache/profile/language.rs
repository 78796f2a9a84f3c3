//! Is a text English? The tables of this cache are, so that other languages have the exact tiers only.

use std::sync::LazyLock;

use super::lexicon;
use super::table::WordTable;
use super::token::{Token, TokenKind};

/// Function words of other languages with Latin letters that are no English words.
const FOREIGN: &str = "aan aber adalah afin agar aici ako albo algo algum alguma alguna algunos alguém aller alles alltid
    alors als além amb anche ancora andere antes apa apakah après aqui aquí arasında att au auch auf aus
    aussi autre aux av avant avec avere avez bagaimana bagaimanakah bakit bana bao beaucoup bei beim
    benim berapa bij bir bisa bist bitte biz być była było ce cea cela ces cet cette ceux che chez chi
    ciao cine ciò combien comme comment como cosa costa così coûte cual cuales cuando cuanto cuesta cum
    cuál cuáles cuándo cuánta cuántas cuánto cuántos czy cái când cât có cómo d'un d'une dalla dans
    dapat darf dari darum das dass daß debo degli dei deine del della delle dem dengan denn depuis der
    desde dessa desse det deve devo dich dies diese dieser dieses dig din dir dlaczego doch dois doit
    donde dove după durch där dónde een eens ein eine einem einen einer eines ela ele eles elle elles
    ellos entre erklär erkläre esta estas este estos está están et ett euch eux explica explicame
    explique explícame faire faut fazer fica finns från fue för für gdzie geen gegen gibt gli gì gör gør
    habe haben hacer haluan hangi hanno hasta heb hebben heeft heißt het hier hoe hoeveel hogy hogyan
    hoje hon hur hva hvad hvor hvordan hvorfor hvorfra hvornår ich ici ihr ihre ihrer ik ile ils ini
    isso ist itu için jag jak jaka jaki jakie jaký je jeg jest jestem jij jsem jsou już kada kaikki
    kailan kann kannst kapan kaç kde kdy kein keine kiedy koji kolik kommer kosta kostar kosten koster
    kostet která které který kto która które który kuinka kuka kunnen können könnte lei les leur loro
    lui là làm machen magkano mais manche mehr mein meine meinem meinen mengapa mennyi mes met meu mia
    mich mig mijn mikor miksi mikä milloin milyen mina minha mio mir missä mit miten mitä miért moet
    mogu mogę moi moja molto może mu muito muss musím muy mycket más må mü mı mısın můžu nach nasil
    nasıl ne neden nedir negli nella nem nerede nessa nhiêu nich nicht nie niet noch noi nos nosso nous
    nur nào não när nå når ob och oder og ohne olarak onde ook oraz otra otro ou oui où paano para pas
    pelo perché pero peut peux più pode podem porque porquê posso possono pour pourquoi pouvez proszę
    proč puede pueden puedes puedo puis può på qu quais qual qualche quali quand quando quanti quanto
    que quel quella quelle quelles quello quels quem questa questo qui quien quiero quién quiénes quoi
    qué saan sans saya sein seine seu sich sie siempre sig sind się ska skal sobre soll sollte sono sont
    sua suis sulla sur são także tem temos tengo tenho thế tidak tiene tienen til todas todo todos toi
    tous tout toute trebuie tudo tutti tutto tym tôi tại uma una und unde une uno uns unser untuk uw va
    vad ve vem viel você voi voinko vom von voor vor vorrei votre vous waar waarom wann wanneer warum
    wegen welche welchem welchen welcher welches welke wem wenn werden wie wieder wieso wieviel wij wir
    wird woher wohin worden wurde wurden yang zašto zich zijn zu zum zur zwischen är çok è é él ésta
    être ön über đâu šta što że ở";

/// The same of words that stand in English texts as well, in names above all.
const FOREIGN_IN_NAMES: &str = "al alle ben da de den des di du e el en es est il ja kan la las le lo los ma mi mon na po se ser si
    soy tu un ver vi wat wen wer wo y yo za ze";

/// Foreign words, and whether they stand in names.
static WORDS: LazyLock<WordTable<bool>> = LazyLock::new(|| {
    let own = FOREIGN.split_whitespace().map(|word| (word, false));
    WordTable::new(own.chain(FOREIGN_IN_NAMES.split_whitespace().map(|word| (word, true))))
});

/// True if a quarter of the letters is beyond the Latin script, or more function words are foreign
/// than English.
pub(super) fn is_foreign(text: &str, tokens: &[Token]) -> bool {
    has_other_script(text) || has_foreign_words(tokens, text.contains(['¿', '¡']))
}

fn has_other_script(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let letters = text.chars().filter(|it| it.is_alphabetic());
    let (all, other) = letters.fold((0, 0), |(all, other), letter| {
        let is_latin = matches!(u32::from(letter), 0..=0x24f | 0x1e00..=0x1eff | 0xff21..=0xff5a);
        (all + 1, other + usize::from(!is_latin))
    });
    other > 0 && 4 * other >= all
}

/// `is_marked` if the text has a mark of Spanish alone.
fn has_foreign_words(tokens: &[Token], is_marked: bool) -> bool {
    let (mut english, mut foreign, mut accented) = (0, usize::from(is_marked), 0);
    for token in tokens.iter().filter(|token| token.is_word()) {
        let word = token.text.as_str();
        if lexicon::is_english(word) {
            english += 1;
        } else if WORDS
            .get(word)
            .is_some_and(|in_names| !in_names || token.kind == TokenKind::Lower)
        {
            foreign += 1;
        } else if token.kind == TokenKind::Lower && !word.is_ascii() {
            accented += 1;
        }
    }
    // Accents alone are in English texts as well.
    foreign > 0 && 2 * foreign + accented > 2 * english
}

#[cfg(test)]
mod tests {
    use super::super::token::split;
    use super::*;

    fn check(text: &str, expected: bool) {
        assert_eq!(is_foreign(text, &split(text, 100).0), expected, "{text}");
    }

    #[test]
    fn other_languages_are_detected() {
        for text in [
            "Was kostet ein Reisepass?",
            "Darf ich hier parken?",
            "Erkläre mir Photosynthese",
            "Kann ich mit Karte zahlen?",
            "Sind alle Pilze essbar?",
            "¿Puedo aparcar aquí?",
            "¿Quién mató al rey?",
            "¿Cómo vendo acciones?",
            "Explícame la fotosíntesis",
            "¿Es Madrid mayor que Lisboa?",
            "Puis-je me garer ici ?",
            "¿A quién ama Ana?",
            "Comment acheter des actions ?",
            "Tous les champignons sont-ils comestibles ?",
            "Paris est-elle plus grande que Lyon ?",
            "Quanto costa un biglietto?",
            "Onde fica o banco?",
            "Hoe kan ik betalen?",
            "Jak kupić bilet?",
            "Hur mycket kostar det?",
            "怎么开灯？",
            "Как купить акции?",
            "犬はチーズを食べられますか？",
            "متى يفتح البنك؟",
            "बैंक कब खुलता है?",
            "은행은 언제 여나요?",
            "Ev nasıl satılır?",
        ] {
            check(text, true);
        }
        for text in [
            "What is the capital of Peru?",
            "How do I get to Rue de la Paix?",
            "What does schön mean in German?",
            "crème brûlée recipe",
            "Who wrote Die Zeit?",
            "flights to Los Angeles",
            "What does 猫 mean?",
            "Is Pho from Da Nang any good?",
            "Explain quicksort",
            "",
        ] {
            check(text, false);
        }
    }
}
