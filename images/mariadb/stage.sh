#!/usr/bin/env bash
# stage.sh OUT: the entry point and the init step of the MariaDB image; the server is Debian's, in the base layer.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=images/stage-lib.sh
. ../stage-lib.sh
stage_begin "$1"
install -D -m 755 entrypoint.sh "$work/root/opt/mariadb/entrypoint.sh"
install -D -m 755 create-database.sh "$work/root/opt/mariadb/create-database.sh"
stage_end
