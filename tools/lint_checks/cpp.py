"""What a C++ file declares and which names it uses: without a compiler, for clang-formatted Google style, in milliseconds.

What stands in a namespace or a class is a declaration; what stands in a function's body or in an initializer is use.
"""
import dataclasses
import re

TOKEN = re.compile(r'''
    (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<string>(?:u8|[uUL])?R"(?P<delimiter>[^()\s\\]{0,16})\(.*?\)(?P=delimiter)"
      |(?:u8|[uUL])?"(?:[^"\\\n]|\\.)*"|(?:u8|[uUL])?'(?:[^'\\\n]|\\.)+')
  | (?P<number>\.?\d(?:[\w.]|'\w|(?<=[eEpP])[+-])*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<directive>^[ \t]*\#[ \t]*(?P<what>\w+)(?P<rest>(?:\\\n|[^\n])*))
  | (?P<mark>::|->|<=>|<=|>=|==|!=|&&|\|\||\+\+|--|[-+*/%&|^]=|\.\.\.|[^\s])
''', re.VERBOSE | re.DOTALL | re.MULTILINE)

KEYWORDS = frozenset('''alignas alignof asm auto bool break case catch char class concept const consteval constexpr constinit const_cast
continue decltype default delete do double dynamic_cast else enum explicit export extern false final float for friend goto if inline int long
mutable namespace new noexcept nullptr operator override private protected public register reinterpret_cast requires return short signed
sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename union unsigned using
virtual void volatile while'''.split())

CLOSES = {'(': ')', '[': ']', '{': '}'}


@dataclasses.dataclass
class Declaration:
    name: str
    kind: str  # function, type, variable, enumerator
    owner: str  # the class or enum that it is a member of, or ''
    line: int
    scoped: bool = True  # an enumerator of an `enum class`
    override: bool = False
    types: tuple = ()  # of a variable: the names before its own
    extern: bool = False  # said of a variable


@dataclasses.dataclass
class Use:
    name: str
    line: int
    before: str  # the token before it: '.', '->', '::' or another
    qualifier: str  # with '::', the name before that
    after: str
    inside: str  # what the use is part of: 'X::a', 'X::', 'a' or ''


class File:
    """One parsed file. `includes`: [(line, text with its quotes)]; `implements`: the classes whose members are declared or defined here;
    `bases`: class → the names in its list of bases; `destructors`: the classes that have one."""

    def __init__(self, path, text):
        self.path = path
        self.includes, self.declarations, self.uses = [], [], []
        self.implements, self.bases, self.destructors = set(), {}, set()
        _Parser(self, text).run()


def _tokens(text, file):
    """[(text, line, is a name)], without comments; strings and numbers lose their content. Directives go to `file`."""
    line, at, result = 1, 0, []
    for match in TOKEN.finditer(text):
        line += text.count('\n', at, match.start())
        at = match.start()
        if match['name'] is not None:
            result.append((match['name'], line, match['name'] not in KEYWORDS))
        elif match['mark'] is not None:
            result.append((match['mark'], line, False))
        elif match['number'] is not None:
            result.append(('0', line, False))
        elif match['string'] is not None:
            result.append(('""', line, False))
        elif match['what'] == 'include':
            file.includes.append((line, match['rest'].strip()))
        elif match['what'] == 'define':
            body = _tokens(match['rest'], file)[1:]
            file.uses += [Use(body[i][0], line, *_around(body, i), '') for i in range(len(body)) if body[i][2]]
    return result


def _around(tokens, i):
    text = [tokens[at][0] if 0 <= at < len(tokens) else '' for at in (i - 2, i - 1, i + 1)]
    return text[1], text[0] if text[1] == '::' else '', text[2]


class _Parser:
    """Every method takes the index where a thing begins and gives the index behind it."""

    def __init__(self, file, text):
        self.file = file
        self.tokens = _tokens(text, file)
        self.size = len(self.tokens)
        self.defining = set()  # indices of names that are declared or defined there

    def text(self, i):
        return self.tokens[i][0] if i < self.size else ''

    def is_name(self, i):
        return i < self.size and self.tokens[i][2]

    def run(self):
        at = 0
        while at < self.size:
            at = self.members(at, '') + 1

    def members(self, i, owner):
        """Statements up to the closing brace, which is where it ends."""
        while i < self.size and self.text(i) != '}':
            if self.text(i) == ';':
                i += 1
            elif self.text(i) in ('public', 'private', 'protected') and self.text(i + 1) == ':':
                i += 2
            else:
                i = self.statement(i, owner)
        return i

    def statement(self, begin, owner):
        i = self.prefix(begin)
        word = self.text(i)
        if word == 'namespace' or (word == 'extern' and self.text(i + 1) == '""' and self.text(i + 2) == '{'):
            i = self.until(i, ('{', ';', '='))
            if self.text(i) == '{':
                return self.members(i + 1, '') + 1
            return self.until(i, (';',)) + 1
        if word in ('friend', 'static_assert', 'typedef'):
            return self.used(begin, self.end(i), owner + '::' if owner else '')
        if word == 'using':
            return self.alias(begin, i, owner)
        if word == 'enum':
            return self.enumeration(begin, i, owner)
        if word in ('class', 'struct', 'union') and (brace := self.class_brace(i)):
            return self.class_definition(begin, i, brace, owner)
        if word in ('class', 'struct') and self.is_name(i + 1) and self.text(i + 2) == ';':
            return i + 3  # a forward declaration
        if re.fullmatch(r'[A-Z][A-Z0-9_]+', word) and self.text(i + 1) == '(':
            end = self.balanced(i + 1)  # a macro: TEST(…) {…} has a body
            return self.used(begin, self.balanced(end) if self.text(end) == '{' else end, '')
        return self.declaration(begin, i, owner)

    def prefix(self, i):
        while True:
            if self.text(i) == '[' and self.text(i + 1) == '[':
                i = self.balanced(i)
            elif self.text(i) == 'template':
                i = self.angles(i + 1)
            else:
                return i

    def until(self, i, marks):
        """The first of `marks` outside of brackets."""
        while i < self.size and self.text(i) not in marks:
            i = self.balanced(i) if self.text(i) in CLOSES else i + 1
        return i

    def end(self, i):
        """Behind the ; or the body that ends a statement."""
        i = self.until(i, (';', '{', '}'))
        return self.balanced(i) if self.text(i) == '{' else i + 1

    def balanced(self, i):
        depth = 0
        while i < self.size:
            if self.text(i) in '([{':
                depth += 1
            elif self.text(i) in ')]}':
                depth -= 1
                if depth == 0:
                    return i + 1
            i += 1
        return i

    def angles(self, i):
        """`i` is at a <; template arguments hold no comparison in this tree."""
        depth = 0
        while i < self.size:
            word = self.text(i)
            if word in '([{':
                i = self.balanced(i)
                continue
            depth += (word == '<') - (word == '>')
            i += 1
            if depth == 0:
                return i
        return i

    def before_angles(self, i):
        """`i`, or where the template arguments that end there belong to."""
        depth = 0
        while True:
            depth += (self.text(i) == '>') - (self.text(i) == '<')
            if depth == 0 and self.text(i) != '<':
                return i
            i -= 1

    def declare(self, i, kind, owner, **more):
        self.defining.add(i)
        self.file.declarations.append(Declaration(self.text(i), kind, owner, self.tokens[i][1], **more))

    def used(self, begin, end, inside):
        for i in range(begin, min(end, self.size)):
            if self.tokens[i][2] and i not in self.defining:
                self.file.uses.append(Use(self.text(i), self.tokens[i][1], *_around(self.tokens, i), inside))
        return end

    def alias(self, begin, i, owner):
        end = self.until(i, (';',)) + 1
        inside = ''
        if self.is_name(i + 1) and self.text(i + 2) == '=':
            self.declare(i + 1, 'type', owner)
            inside = self.text(i + 1) + '::'
            # What is used of it is used of what it stands for.
            self.file.bases.setdefault(self.text(i + 1), set()).update(self.text(at) for at in range(i + 3, end) if self.is_name(at))
        return self.used(begin, end, inside)

    def enumeration(self, begin, i, owner):
        scoped = self.text(i + 1) in ('class', 'struct')
        name = i + 1 + scoped
        brace = self.until(name, ('{', ';'))
        if self.text(brace) == ';':
            return brace + 1
        enum = self.text(name) if self.is_name(name) else ''
        if enum:
            self.declare(name, 'type', owner)
        end = self.balanced(brace)
        at = brace + 1
        while at < end - 1:
            self.declare(at, 'enumerator', enum, scoped=scoped)
            at = self.until(at, (',', '}')) + 1
        self.used(begin, end, enum + '::')
        return end

    def class_brace(self, i):
        """The brace that opens the class which the word at i defines, or 0."""
        i = self.prefix(i + 1)
        while self.is_name(i) or self.text(i) in ('::', 'final'):
            i += 1
            if self.text(i) == '<':
                i = self.angles(i)
        if self.text(i) == ':':
            i = self.until(i, ('{', ';'))
        return i if self.text(i) == '{' else 0

    def class_definition(self, begin, i, brace, owner):
        names = [at for at in range(i + 1, brace) if self.is_name(at)]
        colon = next((at for at in range(i + 1, brace) if self.text(at) == ':'), brace)
        own = [at for at in names if at < colon]
        name = self.text(own[-1]) if own else owner
        self.defining.update(own)
        if len(own) == 1:  # else it defines what its class has declared
            self.declare(own[0], 'type', owner)
        self.file.implements.add(name)
        self.file.bases.setdefault(name, set()).update(self.text(at) for at in names if at > colon)
        self.used(begin, brace, name + '::')
        i = self.members(brace + 1, name) + 1
        if self.text(i) != ';':
            return self.declaration(i, i, owner)  # struct {…} name;
        return i + 1

    def declaration(self, begin, i, owner):
        """A function or variables."""
        last = None  # the last name at this level: what is declared, when the mark behind it says so
        first = i
        while i < self.size:
            word = self.text(i)
            if word == 'operator':
                return self.function(begin, None, self.until(i + 1 + 2 * (self.text(i + 1) == '('), ('(',)), owner)
            if word == '(' and self.text(i + 1) == '*':
                last = next(at for at in range(i, self.size) if self.is_name(at))
                i = self.balanced(self.balanced(i))
            elif word == '(' and last == i - 1:
                return self.function(begin, last, i, owner)
            elif word in ('(', '[', '{'):
                i = self.balanced(i)
            elif word == '<' and last == i - 1:
                i = self.angles(i)
            elif word == '=':
                i = self.until(i, (',', ';')) if last is not None else i + 1
            elif word in (',', ';', '}'):
                if last is not None:
                    self.declare(last, 'variable', owner, types=tuple(self.text(at) for at in range(first, last) if self.is_name(at)),
                                 extern=self.text(first) == 'extern')
                if word != ',':
                    inside = self.text(last) if last is not None else ''
                    return self.used(begin, i + 1, f'{owner}::{inside}' if owner else inside) - (word == '}')
                i += 1
            else:
                if self.is_name(i):
                    last = i
                i += 1
        return i

    def function(self, begin, name, parenthesis, owner):
        """`name` is the index of its name; None for an operator."""
        head = name if name is not None else parenthesis
        destructor = self.text(head - 1) == '~'
        qualifier = ''
        at = head - 1 - destructor
        while self.text(at) == '::':
            at = self.before_angles(at - 1)
            qualifier = qualifier or self.text(at)
            self.defining.add(at)
            at -= 1
        end, override = self.function_end(self.balanced(parenthesis))
        inside_class = qualifier or owner
        if name is not None:
            if destructor:
                self.file.destructors.add(inside_class)
            if destructor or self.text(name) == inside_class:
                self.defining.add(name)
            elif not qualifier:
                self.declare(name, 'function', owner, override=override)
            else:
                self.defining.add(name)
        if qualifier:
            self.file.implements.add(qualifier)
        text = self.text(name) if name is not None else 'operator'
        return self.used(begin, end, f'{inside_class}::{text}' if inside_class else text)

    def function_end(self, i):
        """Behind the function whose parameters end at i; whether it is an override."""
        override = False
        while i < self.size:
            word = self.text(i)
            override = override or word in ('override', 'final')
            if word == ';':
                return i + 1, override
            if word == '{':
                return self.balanced(i), override
            if word == ':':
                i = self.initializers(i + 1)
            elif word in ('(', '['):
                i = self.balanced(i)
            else:
                i += 1
        return i, override

    def initializers(self, i):
        """a_(…), b_{…} of a constructor, up to its body."""
        while True:
            while i < self.size and self.text(i) not in ('(', '{'):
                i += 1
            i = self.balanced(i)
            if self.text(i) == '...':
                i += 1
            if self.text(i) != ',':
                return i
            i += 1
