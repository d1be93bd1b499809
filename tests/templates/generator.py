"""Random templates: well-typed for the most part, so that most of them render."""

CONTEXT = {
    "s": "Hello, W\u00f6rld \u4e2d!", "t": "  a-b_c  ", "e": "", "i": 7, "j": -3, "z": 0, "f": 2.5, "b": True, "n": None,
    "l": [3, 1, 2], "w": ["b", "A", "c", "b"], "d": {"k": "v", "x": 1, "items": [1, 2]},
    "u": [{"name": "Bo", "age": 3, "tags": ["x"]}, {"name": "al", "age": 7}, {"name": "Cy", "age": None}],
}


class Generator:
    def __init__(self, rng):
        self.rng = rng
        self.names = 0
        self.loops = 0
        self.locals = {"str": [], "int": [], "list": []}

    def pick(self, *options):
        return self.rng.choice(options)

    def text(self, depth):
        own = self.locals["str"]
        if depth <= 0 or self.rng.random() < 0.2:
            return self.pick("s", "t", "e", "'x'", '"a,b"', "d.k", "d['k']", "u[0].name", "w[0]", *own)
        a, b = (lambda: self.text(depth - 1)), (lambda: self.integer(depth - 1))
        return self.pick(
            lambda: f"({a()} + {a()})", lambda: f"({a()} ~ {b()} ~ {self.anything(depth - 1)})", lambda: f"{a()} | upper", lambda: f"({a()}) | lower | title",
            lambda: f"({a()}).strip()", lambda: f"({a()})[{b()}:]", lambda: f"({a()})[:{b()}]", lambda: f"({a()})[::-1]", lambda: f"({a()}) | trim",
            lambda: f"({a()}) | replace({a()}, '-')", lambda: f"({self.words(depth - 1)}) | join({a()})", lambda: f"({self.anything(depth - 1)}) | string",
            lambda: f"({self.anything(depth - 1)}) | tojson", lambda: f"({a()} if {self.condition(depth - 1)} else {a()})", lambda: f"({a()}).split('-') | first",
            lambda: f"'%s:%s' % ({a()}, {b()})", lambda: f"({a()}).replace('l', 'L', 1)", lambda: f"({a()}) | indent({self.rng.randint(0, 4)})",
            lambda: f"({self.anything(depth - 1)}) | default('dflt', true)", lambda: f"({a()}) | capitalize", lambda: f"({a()}).center({self.rng.randint(0, 12)}, '*')",
            lambda: f"({a()}) | string | list | reverse | join", lambda: f"({a()}).partition('-')[{self.rng.randint(0, 2)}]")()

    def integer(self, depth):
        if depth <= 0 or self.rng.random() < 0.25:
            return self.pick("i", "j", "z", "1", "0", "2", "10", "l[0]", "d.x", *self.locals["int"])
        a, b = (lambda: self.integer(depth - 1)), (lambda: self.text(depth - 1))
        return self.pick(
            lambda: f"({a()} + {a()})", lambda: f"({a()} - {a()})", lambda: f"({a()} * {a()})", lambda: f"({a()} // {a()})", lambda: f"({a()} % {a()})",
            lambda: f"(({b()}) | length)", lambda: f"(({self.numbers(depth - 1)}) | sum)", lambda: f"(({self.numbers(depth - 1)}) | max | int)",
            lambda: f"(({b()}) | int({a()}))", lambda: f"({b()}).find('o')", lambda: f"({b()}).count('l')", lambda: f"(-{a()})", lambda: f"(({a()}) | abs)",
            lambda: f"({a()} if {self.condition(depth - 1)} else {a()})", lambda: f"({a()} / 2)", lambda: f"(({a()}) | float)", lambda: f"({a()} * f)")()

    def numbers(self, depth):
        if depth <= 0 or self.rng.random() < 0.3:
            return self.pick("l", "[1, 2, 3]", "range(4) | list", "[i, j]", "[]")
        a = lambda: self.numbers(depth - 1)  # noqa: E731
        return self.pick(lambda: f"({a()}) | sort", lambda: f"({a()}) | list", lambda: f"({a()}) | select('odd') | list", lambda: f"({a()}) | reject('>', 1) | list",
                         lambda: f"({a()}) | unique | list", lambda: f"({a()}) | reverse | list", lambda: f"[{self.integer(depth - 1)}] + (({a()}) | list)",
                         lambda: f"u | map(attribute='age') | select | list", lambda: f"({a()}) | map('abs') | list")()

    def words(self, depth):
        if depth <= 0 or self.rng.random() < 0.3:
            return self.pick("w", "['p', 'q']", "s.split()", "t.split('-')", "d.keys()", "u | map(attribute='name') | list", *self.locals["list"])
        a = lambda: self.words(depth - 1)  # noqa: E731
        return self.pick(lambda: f"({a()}) | sort", lambda: f"({a()}) | map('upper') | list", lambda: f"({self.text(depth - 1)}).split(',')", lambda: f"({a()}) | list",
                         lambda: f"(({a()}) | list)[{self.integer(0)}:]", lambda: f"({a()}) | unique | list", lambda: f"({a()}) | reject('equalto', 'b') | list",
                         lambda: f"({self.text(depth - 1)}).splitlines()")()

    def condition(self, depth):
        if depth <= 0:
            return self.pick("b", "true", "n", "z", "s", "nope is defined", "n is none", "loop is defined")
        a = lambda: self.anything(depth - 1)  # noqa: E731
        test = self.pick("defined", "string", "mapping", "iterable", "sequence", "number", "integer", "boolean", "none", "not none", "true", "not string")
        return self.pick(lambda: f"({a()}) is {test}", lambda: f"({a()}) == ({a()})", lambda: f"({a()}) != ({a()})", lambda: f"{self.integer(depth - 1)} < {self.integer(depth - 1)}",
                         lambda: f"({self.text(depth - 1)}) in ({self.text(depth - 1)})", lambda: f"({self.text(depth - 1)}) not in ({self.words(depth - 1)})",
                         lambda: f"not ({self.condition(depth - 1)})", lambda: f"({self.condition(depth - 1)}) and ({self.condition(depth - 1)})",
                         lambda: f"({self.condition(depth - 1)}) or ({self.condition(depth - 1)})", lambda: f"({self.text(depth - 1)}).startswith('H')")()

    def anything(self, depth):
        if depth <= 0:
            return self.pick("s", "i", "f", "b", "n", "l", "d", "nope", "d.nope", "[]", "{}", "(1, 'a')", "{'a': n, 1: f}")
        return self.pick(self.text, self.integer, self.numbers, self.condition, lambda d: f"[{self.anything(d - 1)}, {self.anything(d - 1)}]",
                         lambda d: "{'k': " + self.anything(d - 1) + ", 'm': " + self.anything(d - 1) + "}", lambda d: f"({self.anything(d - 1)}, )",
                         lambda d: f"({self.words(d - 1)}) | list")(depth - 1)

    def name(self):
        self.names += 1
        return f"v{self.names}"

    def space(self):
        return self.pick("", "", " ", "\n", "\n\n", "  \n  ", "\t", " text ", "\nline\n  ")

    def tag(self, inside):
        return "{%" + self.pick("", "", "-", "+") + " " + inside + " " + self.pick("", "", "-", "+") + "%}"

    def show(self, expression):
        return "{{" + self.pick("", "", "-") + " " + expression + " " + self.pick("", "", "-") + "}}"

    def block(self, depth):
        return "".join(self.space() + self.statement(depth) for _ in range(self.rng.randint(1, 3))) + self.space()

    def statement(self, depth):
        if depth <= 0:
            return self.show(self.anything(3)) if self.rng.random() < 0.9 else self.pick("{# note #}", "{#- note -#}", "{% raw %}{{ x }}{% endraw %}")
        return self.pick(self.if_, self.for_, self.set_, self.set_block, self.macro, self.namespace, self.filter_, self.with_, self.statement, self.statement)(depth - 1)

    def if_(self, depth):
        return (self.tag("if " + self.condition(2)) + self.block(depth) + (self.tag("elif " + self.condition(2)) + self.block(depth) if self.rng.random() < 0.4 else "")
                + (self.tag("else") + self.block(depth) if self.rng.random() < 0.5 else "") + self.tag("endif"))

    def for_(self, depth):
        item = self.name()
        head, self_type = self.pick((f"for {item} in {self.words(2)}", "str"), (f"for {item} in {self.numbers(2)}", "int"), (f"for {item} in {self.words(1)} if {item} != 'b'", "str"))
        saved = {kind: list(names) for kind, names in self.locals.items()}
        self.locals[self_type].append(item)
        self.locals["int"].extend(["loop.index", "loop.length"])
        stop = self.tag(f"if loop.index > {self.rng.randint(1, 3)}") + self.tag(self.pick("break", "continue")) + self.tag("endif") if self.rng.random() < 0.3 else ""
        body = self.block(depth) + stop + self.show(self.pick("loop.first", "loop.last", "loop.revindex", "loop.previtem", "loop.nextitem | default('-')", item))
        self.locals = saved
        return self.tag(head) + body + (self.tag("else") + self.block(0) if self.rng.random() < 0.3 else "") + self.tag("endfor")

    def set_(self, depth):
        kind = self.pick("str", "int", "list")
        value = {"str": self.text, "int": self.integer, "list": self.words}[kind](3)
        name = self.name()
        text = self.tag(f"set {name} = {value}")
        self.locals[kind].append(name) if kind != "list" else None
        return text + self.show(name)

    def set_block(self, depth):
        name = self.name()
        text = self.tag(f"set {name}" + self.pick("", " | upper", " | trim")) + self.block(depth) + self.tag("endset")
        self.locals["str"].append(name)
        return text + self.show(name)

    def macro(self, depth):
        name, argument = self.name(), self.name()
        saved = {kind: list(names) for kind, names in self.locals.items()}
        self.locals["str"].append(argument)
        body = self.block(depth)
        self.locals = saved
        call = self.pick(f"{name}({self.text(1)})", f"{name}()", f"{name}({argument}={self.text(1)})")
        return self.tag(f"macro {name}({argument}={self.text(1)})") + body + self.tag("endmacro") + self.show(call)

    def namespace(self, depth):
        name = self.name()
        loop = self.tag(f"for q in {self.numbers(1)}") + self.tag(f"set {name}.x = {name}.x + q") + self.tag("endfor")
        return self.tag(f"set {name} = namespace(x=0)") + loop + self.show(f"{name}.x") + self.show(f"{name}.y is defined")

    def filter_(self, depth):
        return self.tag("filter " + self.pick("upper", "trim", "replace('a', 'o')", "indent(2)")) + self.block(depth) + self.tag("endfilter")

    def with_(self, depth):
        name = self.name()
        return self.tag(f"with {name} = {self.text(2)}") + self.show(name) + self.block(depth) + self.tag("endwith")


def make(rng):
    return Generator(rng).block(3)
