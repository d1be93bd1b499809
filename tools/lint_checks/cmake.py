"""Which targets and CTest names the CMakeLists.txt of a tree make. They are run by a small interpreter that takes every branch of if() and
does what names need: set, list, string, file, foreach, functions."""
import fnmatch
import re

COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|#[^\n]*')
COMMAND = re.compile(r'([A-Za-z_]\w*)\s*\(((?:"(?:[^"\\]|\\.)*"|\((?:[^()"]|"[^"]*"|\([^()]*\))*\)|[^()"])*)\)')
ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')
VARIABLE = re.compile(r'\$\{(\w+)\}')


# Called by: _command(), through the name of a CMake command.
class Build:
    """`targets`: names and aliases, with the file names of programs, which Ninja takes as targets too; `tests`: names in CTest."""

    def __init__(self, tree):
        self.tree = tree
        self.targets, self.tests, self.functions = set(), set(), {}
        self._file('CMakeLists.txt', '', {'PROJECT_SOURCE_DIR': ''})

    def _file(self, path, folder, variables):
        if path in self.tree.paths:
            text = COMMENT.sub(lambda match: match[1] or '', self.tree.read(path))
            self._run([(match[1].lower(), match[2]) for match in COMMAND.finditer(text)],
                      dict(variables, CMAKE_CURRENT_SOURCE_DIR=folder, CMAKE_CURRENT_LIST_DIR=path.rpartition('/')[0]))

    def _run(self, commands, variables):
        at = 0
        while at < len(commands):
            name, text = commands[at]
            if name not in ('function', 'foreach'):
                self._command(name, self._arguments(text, variables), variables)
                at += 1
                continue
            end, depth = at + 1, 1
            while depth:
                depth += (commands[end][0] == name) - (commands[end][0] == 'end' + name)
                end += 1
            first, *rest = self._arguments(text, variables)
            if name == 'function':
                self.functions[first.lower()] = (rest, commands[at + 1:end - 1])
            else:
                for variables[first] in self._items(rest, variables):
                    self._run(commands[at + 1:end - 1], variables)
            at = end

    def _items(self, words, variables):
        if words[:2] == ['IN', 'LISTS']:
            return [value for name in words[2:] for value in variables.get(name, '').split(';') if value]
        return words[2:] if words[:2] == ['IN', 'ITEMS'] else words

    def _arguments(self, text, variables):
        result = []
        for match in ARGUMENT.finditer(text):
            value = match[1] if match[1] is not None else match[2]
            while VARIABLE.search(value):
                value = VARIABLE.sub(lambda name: variables.get(name[1], ''), value)
            result += [value] if match[1] is not None else [part for part in value.split(';') if part]
        return result

    def _command(self, name, arguments, variables):
        if name in self.functions:
            parameters, body = self.functions[name]
            inner = dict(variables, ARGN=';'.join(arguments[len(parameters):]))
            inner.update(zip(parameters, arguments))
            self._run(body, inner)
        elif hasattr(self, '_do_' + name) and arguments:
            getattr(self, '_do_' + name)(arguments, variables)

    def _do_add_subdirectory(self, arguments, variables):
        folder = '/'.join(part for part in (variables['CMAKE_CURRENT_SOURCE_DIR'], arguments[0]) if part)
        self._file(folder + '/CMakeLists.txt', folder, variables)

    def _do_include(self, arguments, variables):
        for path in (arguments[0], f'cmake/{arguments[0]}.cmake'):
            self._file(path.lstrip('/'), variables['CMAKE_CURRENT_SOURCE_DIR'], variables)

    def _do_set(self, arguments, variables):
        values = arguments[1:]
        for word in ('CACHE', 'PARENT_SCOPE'):
            values = values[:values.index(word)] if word in values else values
        variables[arguments[0]] = ';'.join(values)

    def _do_list(self, arguments, variables):
        old = [value for value in variables.get(arguments[1], '').split(';') if value]
        if arguments[0] == 'APPEND':
            variables[arguments[1]] = ';'.join(old + arguments[2:])
        elif arguments[0] == 'FILTER' and arguments[2] == 'INCLUDE':  # what one branch excludes, another has
            pattern = arguments[4].replace('\\\\', '\\')
            variables[arguments[1]] = ';'.join(value for value in old if re.search(pattern, value))

    def _do_string(self, arguments, variables):
        if arguments[0] == 'REPLACE':
            variables[arguments[3]] = ''.join(arguments[4:]).replace(arguments[1], arguments[2])
        elif arguments[:2] == ['REGEX', 'REPLACE']:
            variables[arguments[4]] = re.sub(arguments[2].replace('\\\\', '\\'), arguments[3].replace('\\\\', '\\'), ''.join(arguments[5:]))

    def _do_file(self, arguments, variables):
        if arguments[0] in ('GLOB', 'GLOB_RECURSE'):
            folder = variables['CMAKE_CURRENT_SOURCE_DIR']
            patterns = [value for value in arguments[2:] if '*' in value]
            wanted = [value.lstrip('/') if '/' in value else f'{folder}/{value}' for value in patterns]
            found = [path for path in self.tree.paths if any(fnmatch.fnmatchcase(path, pattern) for pattern in wanted)]
            variables[arguments[1]] = ';'.join(found)
        elif arguments[0] == 'RELATIVE_PATH':  # from the root, which is ''
            variables[arguments[1]] = '/'.join(part for part in arguments[-1].split('/') if part)

    def _do_get_filename_component(self, arguments, variables):
        name = arguments[1].rsplit('/', 1)[-1]
        if arguments[2] in ('NAME', 'NAME_WE', 'NAME_WLE'):
            variables[arguments[0]] = name if arguments[2] == 'NAME' else name.split('.')[0]

    def _do_cmake_parse_arguments(self, arguments, variables):
        prefix, words = arguments[0], arguments[4:]
        options, ones, lists = ([word for word in text.split(';') if word] for text in arguments[1:4])
        values, current = {}, None
        for word in words:
            if word in options:
                values[word], current = ['TRUE'], None
            elif word in ones or word in lists:
                values[word], current = [], word
            elif current:
                values[current].append(word)
        for word in options + ones + lists:
            variables[f'{prefix}_{word}'] = ';'.join(values.get(word, []))

    def _do_add_library(self, arguments, variables):
        self.targets.add(arguments[0])

    _do_add_executable = _do_add_custom_target = _do_add_library

    def _do_set_target_properties(self, arguments, variables):
        if 'OUTPUT_NAME' in arguments:
            self.targets.add(arguments[arguments.index('OUTPUT_NAME') + 1])

    def _do_add_test(self, arguments, variables):
        if arguments[0] == 'NAME':
            self.tests.add(arguments[1])
