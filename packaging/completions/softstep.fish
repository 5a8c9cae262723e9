# Completion of softstep in fish. Commands and options are those that the program itself lists.
function __softstep_commands
    softstep --help 2>/dev/null | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\)  *\(.*\)/\1\t\2/p'
end
function __softstep_options
    set -l words (commandline -opc)
    softstep $words[2] --help 2>/dev/null | grep -oE '^  (-[a-z],)?--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+'
end
complete -c softstep -n '__fish_use_subcommand; or __fish_seen_subcommand_from help' -f -a '(__softstep_commands)'
complete -c softstep -n 'string match -q -- "-*" (commandline -ct)' -f -a '(__softstep_options)'
