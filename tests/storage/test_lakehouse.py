from headwater.storage.lakehouse import Lakehouse
from headwater.testing.stores import StoreContract


class TestContract(StoreContract):
    store_class = Lakehouse
