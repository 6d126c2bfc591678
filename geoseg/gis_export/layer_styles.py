"""Styles inside a database: the table ``layer_styles``, from which QGIS takes the style of a layer.

QGIS makes the same table when a user saves a style to a GeoPackage or to PostGIS.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

NAME = "classes"
"""Name of the style."""
_COLUMNS = (
    "f_table_catalog, f_table_schema, f_table_name, f_geometry_column, stylename, styleqml, stylesld, useasdefault, "
    "description, owner"
)
_DESCRIPTION = "Names and colours of the classes, by geoseg"


def write_to_geopackage(path: Path, layer: str, qml: bytes, sld: bytes) -> None:
    """Add the style of a layer to a GeoPackage, in place of an earlier one."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
            "f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256), "
            "styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), "
            "ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"
        )
        database.execute(
            "INSERT OR REPLACE INTO gpkg_contents (table_name, data_type, identifier, description) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', 'Styles of layers, for QGIS')"
        )
        database.execute("DELETE FROM layer_styles WHERE f_table_name = ? AND styleName = ?", (layer, NAME))
        values = ("", "", layer, "geometry", NAME, qml.decode(), sld.decode(), 1, _DESCRIPTION, "")
        database.execute(f"INSERT INTO layer_styles ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608 -- no text of others in it


def append_to_dump(path: Path, table: str, qml: bytes, sld: bytes) -> None:
    """Add the style of a table to an SQL file for PostGIS, in place of an earlier one."""
    texts = ("", "public", table, "geometry", NAME, qml.decode(), sld.decode())
    values = ", ".join(_quoted(text) for text in texts)
    with path.open("a", encoding="utf-8") as dump:
        dump.write(
            'CREATE TABLE IF NOT EXISTS "public"."layer_styles" (id SERIAL PRIMARY KEY, f_table_catalog varchar, '
            "f_table_schema varchar, f_table_name varchar, f_geometry_column varchar, stylename text, styleqml xml, "
            "stylesld xml, useasdefault boolean, description text, owner varchar(63), ui xml, "
            "update_time timestamp DEFAULT CURRENT_TIMESTAMP, type varchar);\n"
            f'DELETE FROM "public"."layer_styles" WHERE f_table_name = {_quoted(table)} AND stylename = \'{NAME}\';\n'
            f'INSERT INTO "public"."layer_styles" ({_COLUMNS}) VALUES ({values}, true, {_quoted(_DESCRIPTION)}, '
            "CURRENT_USER);\n"
            # QGIS looks for the style under the name of the database, which is known only where the file is loaded.
            f'UPDATE "public"."layer_styles" SET f_table_catalog = current_database() WHERE f_table_name = '
            f"{_quoted(table)};\n"
        )


def _quoted(text: str) -> str:
    """A text as a literal of SQL; the file sets ``standard_conforming_strings``."""
    return "'" + text.replace("'", "''") + "'"
