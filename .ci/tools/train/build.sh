#!/usr/bin/env bash
# The extra `train` (torch and its company, about 6 GB) into .venv, which `make` has made.
. "$(dirname "$0")/../common.sh"
python=$ROOT/.venv/bin/python
packages=$("$PYTHON" - "$ROOT/pyproject.toml" <<'END'
import sys, tomllib
print("\n".join(tomllib.load(open(sys.argv[1], "rb"))["project"]["optional-dependencies"]["train"]))
END
) || die "cannot read the extra 'train' from pyproject.toml (Python 3.11 or later is needed)"
[ -x "$python" ] || die "no .venv yet: run 'make' first"
# The stamp says what was asked for; the environment itself says whether it is still there.
"$python" -c 'import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, sys.argv[1:])))' \
  torch transformers peft bitsandbytes datasets accelerate trl gguf || rm -f "$TOOLS/stamp/$PART"
begin
free=$(df -Pk "$ROOT" | awk 'NR == 2 { print int($4 / 1048576) }')
[ "$free" -ge 9 ] || stop "needs about 9 GB of disk while installing, $free GB are free"
echo "tools: train: installing torch and its company, about 6 GB" >&3
readarray -t wanted <<<"$packages"
"$python" -m pip install -q --disable-pip-version-check -c "$ROOT/.ci/constraints.txt" "${wanted[@]}"
"$python" -c 'import torch, transformers, peft, gguf' || stop "the packages are installed but do not import"
done_
