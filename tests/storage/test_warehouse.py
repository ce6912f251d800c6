from headwater.storage.warehouse import Warehouse
from headwater.testing.stores import StoreContract


class TestContract(StoreContract):
    store_class = Warehouse
