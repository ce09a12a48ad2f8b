"""The language of a short text, told by its script and by its most frequent small words.

Enough to keep a list of user queries to the languages that an instruction can be checked in; no model, no list to load.
Languages that share a script and are not listed here come out as None, and so does text without words (code, links).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache

_WORD = re.compile(r"[^\W\d_]+")

_SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CJK": "zh",
    "ARABIC": "ar",
    "HEBREW": "he",
    "DEVANAGARI": "hi",
    "THAI": "th",
    "GREEK": "el",
    "CYRILLIC": "ru",
}
"""The first word of a character's Unicode name, and the language it most often stands for."""

_SMALL_WORDS = {
    "en": "the a an of to and in is are was were for with that this it you i my me what how why do does can could "
    "would should please write give explain make be from or on not as at by if there best between about your",
    "de": "der die das und ist nicht ein eine ich du mir mich wie was warum bitte schreibe mit auf für von zu im den "
    "dem des es sind wird kann auch sich nach bei aus wenn oder einen einer über",
    "fr": "le la les des un une et est pas je tu vous mon moi comment pourquoi quel quelle écris avec pour dans sur "
    "du au aux que qui ce cette sont être plus ou en de nous donne",
    "es": "el la los las un una y es no yo tú mi cómo qué por para con en del al que se lo su más como está son "
    "escribe dame hacer entre sobre este esta o de puedes",
    "it": "il lo la i gli le un una e è non io tu mi come cosa perché per con in del della dei che si di da sono "
    "scrivi più nel alla questo questa puoi",
    "pt": "o a os as um uma e é não eu você meu como que por para com em do da dos das no na se mais escreva são "
    "este esta entre sobre ao fazer ou de",
    "nl": "de het een en is niet ik je mij hoe wat waarom met op voor van te in zijn dat die aan er schrijf kan ook "
    "naar bij uit als of over geef",
}
LANGUAGES = frozenset(_SMALL_WORDS) | frozenset(_SCRIPTS.values())
"""ISO 639-1 codes that can be told."""


def language(text: str) -> str | None:
    """The ISO 639-1 code of the language of ``text``, or None when it cannot be told."""
    words = _WORD.findall(text.lower())
    if text.isascii():
        return _by_small_words(words)
    scripts = Counter(_script(character) for word in words for character in word)
    scripts.pop("", None)
    if not scripts:
        return None
    # Japanese is written with Chinese characters too: its own ones decide.
    if scripts["HIRAGANA"] + scripts["KATAKANA"] > 0.1 * scripts.total():
        return "ja"
    script, _ = scripts.most_common(1)[0]
    return _SCRIPTS[script] if script in _SCRIPTS else _by_small_words(words)


def _by_small_words(words: list[str]) -> str | None:
    """The language with most small words; a tie, or none at all, tells nothing."""
    found = {code: sum(map(known.__contains__, words)) for code, known in _known().items()}
    (first, most), (_, second), *_ = sorted(found.items(), key=lambda item: -item[1])
    return first if most > second else None


@cache
def _known() -> dict[str, frozenset[str]]:
    return {code: frozenset(words.split()) for code, words in _SMALL_WORDS.items()}


@cache
def _script(character: str) -> str:
    """``LATIN``, ``CYRILLIC``, …; empty for what has no name."""
    return unicodedata.name(character, "").split(" ", 1)[0].split("-", 1)[0]
