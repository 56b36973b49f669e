"""Shipped models, names and pictures, modules that are imported by name, and the version go into a frozen program."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata

datas = collect_data_files("darknet_py") + copy_metadata("darknet-numba")
hiddenimports = collect_submodules("darknet_py", filter=lambda name: "__pyinstaller" not in name)
