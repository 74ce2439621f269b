"""Rendered text as a tree, so that tests can ask what stands where."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([;{}])|([^\s;{}"]+)|#[^\n]*|\s+', re.DOTALL)


@dataclass
class Node:
    """A directive; a block has children."""

    name: str
    values: tuple[str, ...] = ()
    children: list[Node] = field(default_factory=list)

    def all(self, name: str) -> list[Node]:
        """Directives of this name directly below."""
        return [child for child in self.children if child.name == name]

    def values_of(self, name: str) -> list[tuple[str, ...]]:
        return [child.values for child in self.all(name)]

    def one(self, name: str) -> tuple[str, ...]:
        """The values of the one such directive."""
        (found,) = self.values_of(name)
        return found

    def walk(self) -> Iterator[Node]:
        for child in self.children:
            yield child
            yield from child.walk()


def tree(text: str) -> Node:
    """The configuration as a block without a name."""
    root = Node("")
    stack, words = [root], list[str]()
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match, text[position : position + 80]
        position = match.end()
        quoted, mark, bare = match.groups()
        if mark is None:
            if quoted is not None:
                words.append(re.sub(r'\\([\\"])', r"\1", quoted))
            elif bare is not None and not bare.startswith("#"):
                words.append(bare)
        elif mark == "}":
            assert not words
            stack.pop()
        else:
            node = Node(words[0], tuple(words[1:]))
            stack[-1].children.append(node)
            words = []
            if mark == "{":
                stack.append(node)
    assert stack == [root]
    assert not words
    return root


def expanded(files: dict[str, str], name: str = "http.conf") -> Node:
    """A fragment with its includes in place, as nginx reads it."""

    def put(node: Node) -> None:
        children: list[Node] = []
        for child in node.children:
            if child.name == "include":
                children += expanded(files, child.values[0]).children
            else:
                put(child)
                children.append(child)
        node.children = children

    root = tree(files[name])
    put(root)
    return root
